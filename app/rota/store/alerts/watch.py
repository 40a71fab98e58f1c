"""The times in which nobody watched: found by when somebody looked last, and kept, up to a number."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, literal, or_, select, update

from rota.db.command import Command, Transaction
from rota.db.connection_state.alerting import alerting_of
from rota.db.tables import alert_watch, task, unwatched_span
from rota.db.types import spelled_out
from rota.domain.alerts.defaults import Rules, rules_of
from rota.domain.alerts.timing import first_check, has_timed_rules
from rota.domain.alerts.unwatched import UnwatchedSpan, cut_at
from rota.domain.primitives.ids import Id
from rota.domain.tasks.definition import TaskStatus
from rota.store.alerts.watching import is_unannounced
from rota.store.definitions import read_definition

#: Who watches looks at least so often. A longer pause means that the process stood still, that the database could not
#: be reached, or that the clock was set.
LONGEST_PAUSE = timedelta(seconds=5)
# Of a process that has just started.
_SHORTEST_SPAN = timedelta(seconds=1)
#: The clocks of two replicas may differ by so much.
SKEW = timedelta(seconds=5)
# More are of a service that starts again and again: what lies further back counts then.
_MOST_SPANS = 500
_ONLY = 1
_MAY_BE_WATCHED = (
    # What a paused task counts from is set again when it is resumed, if it is watched.
    task.c.status.in_([spelled_out(TaskStatus.ACTIVE), spelled_out(TaskStatus.PAUSED)]),
    task.c.deleted_at.is_(None),
)


class _Examined(NamedTuple):
    """A task that may be watched, by the defaults of the service."""

    id: Id
    name: str
    definition: str
    status: str
    watched_from: datetime | None
    alert_check_at: datetime | None
    last_success_at: datetime | None
    next_fire_at: datetime | None

    def is_to_be_watched(self, defaults: Rules) -> bool:
        """Return whether it is not watched yet, or by a default that was another when it was checked last."""
        definition = read_definition(self.definition)
        rules = rules_of(definition, self.name, defaults)
        if self.watched_from is None:
            return has_timed_rules(rules)
        if self.alert_check_at is None and self.status == TaskStatus.PAUSED:
            return False
        since = max(self.watched_from, self.last_success_at or self.watched_from)
        due_at = first_check(
            rules, since, self.next_fire_at, is_unannounced=is_unannounced(definition)
        )
        return due_at is not None and (self.alert_check_at is None or due_at < self.alert_check_at)


@dataclass(frozen=True, slots=True)
class NoteLook(Command[timedelta]):
    """Note that somebody watches now; return for how long nobody did.

    `looked_at`: when this process looked last; None: it has just started. That time, or a later one at which another
    replica has noted its look, is where the span begins. If the clock was set back, what lies ahead is forgotten,
    tasks whose last success lies ahead count from now, and all are checked.
    """

    looked_at: datetime | None = None

    def apply(self, tx: Transaction) -> timedelta:
        noted = tx.connection.execute(
            select(alert_watch.c.looked_at).where(alert_watch.c.id == _ONLY).with_for_update()
        ).scalar_one_or_none()
        last = max((at for at in (noted, self.looked_at) if at is not None), default=None)
        if last is not None and last > tx.now + SKEW:
            _turn_back(tx)
        unwatched = timedelta() if last is None else max(tx.now - last, timedelta())
        if last is not None and unwatched > self._shortest:
            _keep(tx, UnwatchedSpan(last, tx.now))
        if noted is None:
            tx.connection.execute(insert(alert_watch), {"id": _ONLY, "looked_at": tx.now})
        else:
            tx.connection.execute(update(alert_watch).values(looked_at=tx.now))
        return unwatched

    @property
    def _shortest(self) -> timedelta:
        """How long nobody may watch without its being a span."""
        return _SHORTEST_SPAN if self.looked_at is None else LONGEST_PAUSE


@dataclass(frozen=True, slots=True)
class Watch(Command[bool]):
    """Look at tasks soon, and watch those that are not watched yet, from now on; return whether none was locked."""

    patient = False

    ids: tuple[Id, ...]

    def apply(self, tx: Transaction) -> bool:
        free = select(task.c.id).where(task.c.id.in_(self.ids)).with_for_update(skip_locked=True)
        locked = tx.connection.execute(free).scalars().all()
        since = func.coalesce(task.c.watched_from, literal(tx.now, task.c.watched_from.type))
        watched = update(task).where(task.c.id.in_(locked))
        tx.connection.execute(watched.values(watched_from=since, alert_check_at=tx.now))
        return len(locked) == len(self.ids)


def watched_by_default(
    connection: Connection, after: Id | None, limit: int
) -> tuple[list[Id], Id | None]:
    """Return tasks that the defaults, as they are now, want to be watched, and that are not or are checked too late.

    Up to `limit` tasks behind the id `after` are examined; the second value is the last one, None if there are no more.
    """
    defaults = alerting_of(connection).defaults
    if defaults.on_failure is None and defaults.on_late is None:
        return [], None
    page = select(*(task.c[name] for name in _Examined._fields)).where(*_MAY_BE_WATCHED)
    if not has_timed_rules(defaults):  # then only tasks with this field of their own
        page = page.where(task.c.definition.contains('"expect_every"'))
    if after is not None:
        page = page.where(task.c.id > after)
    rows = [
        _Examined._make(row) for row in connection.execute(page.order_by(task.c.id).limit(limit))
    ]
    wanted = [row.id for row in rows if row.is_to_be_watched(defaults)]
    return wanted, rows[-1].id if len(rows) == limit else None


def unwatched_spans(connection: Connection) -> list[UnwatchedSpan]:
    """Return the times in which nobody watched, the earliest first."""
    columns = (unwatched_span.c.starts_at, unwatched_span.c.ends_at)
    found = connection.execute(select(*columns).order_by(unwatched_span.c.ends_at))
    return [UnwatchedSpan._make(row) for row in found]


def _keep(tx: Transaction, span: UnwatchedSpan) -> None:
    newest = select(unwatched_span.c.ends_at).order_by(unwatched_span.c.ends_at.desc())
    oldest_kept = newest.offset(_MOST_SPANS - 2).limit(1).scalar_subquery()
    tx.connection.execute(delete(unwatched_span).where(unwatched_span.c.ends_at < oldest_kept))
    tx.connection.execute(insert(unwatched_span), span._asdict())


def _turn_back(tx: Transaction) -> None:
    """Forget what a clock that was ahead has left behind: spans, what tasks count from, and when they are checked."""
    spans = unwatched_spans(tx.connection)
    left = cut_at(tx.now, spans)
    if left != spans:
        tx.connection.execute(delete(unwatched_span))
        if left:
            tx.connection.execute(insert(unwatched_span), [span._asdict() for span in left])
    ahead = or_(task.c.watched_from > tx.now, task.c.last_success_at > tx.now)
    tx.connection.execute(
        update(task).where(task.c.watched_from.is_not(None), ahead).values(watched_from=tx.now)
    )
    tx.connection.execute(
        update(task).where(task.c.alert_check_at > tx.now).values(alert_check_at=tx.now)
    )
