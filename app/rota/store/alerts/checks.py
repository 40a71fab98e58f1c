"""Looks at tasks whose alerts follow from time: in batches, when they are due, and otherwise never."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from rota.db.bulk import Bulk
from rota.db.command import Command, StaleError, Transaction
from rota.db.tables import task
from rota.domain.alerts.defaults import Rules
from rota.domain.alerts.rules import AlertKind
from rota.domain.alerts.timing import Look, TimedEdge, Watched, has_timed_rules, look
from rota.domain.holds.held import HoldsVersion
from rota.domain.primitives.ids import Id
from rota.domain.tasks.definition import TaskDefinition, TaskStatus
from rota.store.alerts.edges import Edge, is_muted, write_edges
from rota.store.alerts.facts import first_waiting, latest_ping, latest_started, raised_alerts
from rota.store.alerts.watch import unwatched_spans
from rota.store.alerts.watching import is_unannounced, rules_for
from rota.store.definitions import read_definition
from rota.store.holds.reading import VERSION, holds_at

#: Says in a sentence what holds back a run of the task of a name at a time; empty: nothing that is known.
Why = Callable[[Connection, str, Id, datetime], str]


def _unexplained(_connection: Connection, _task: str, _run: Id, _now: datetime) -> str:
    return ""


#: Late runs that are explained in one write: each takes some statements, and others wait for the writer.
MOST_EXPLAINED = 20
# How often a held task is checked, at most: the hold may be ended before its time.
_WHILE_HELD = timedelta(minutes=5)
# When a task is checked again that could not be checked.
_POSTPONED = timedelta(minutes=10)
_EARLIEST = (
    select(task.c.alert_check_at)
    .where(task.c.alert_check_at.is_not(None))
    .order_by(task.c.alert_check_at)
    .limit(1)
)


class _Due(NamedTuple):
    """A task that is to be checked, as it is locked."""

    id: Id
    name: str
    status: str
    status_changed_by: str
    definition: str
    created_at: datetime
    alert_check_at: datetime
    watched_from: datetime | None
    last_success_at: datetime | None
    next_fire_at: datetime | None
    holds_number: int
    holds_changed_at: datetime | None


class _Subject(NamedTuple):
    """A task that is to be checked, with the rules that hold for it."""

    due: _Due
    definition: TaskDefinition
    rules: Rules
    #: What it counts from: since when it is watched, or the end of its last hold; now, while it is held.
    since: datetime
    #: It is held, and nothing is raised of it before this time.
    held_until: datetime | None


_DUE = (
    select(*(task.c[name] for name in _Due._fields[:-2]), *VERSION)
    .where(task.c.alert_check_at <= bindparam("g_now", type_=task.c.alert_check_at.type))
    .order_by(task.c.alert_check_at)
    .with_for_update(skip_locked=True)
)
_MOVE = Bulk(
    update(task)
    .where(task.c.id == bindparam("g_id"), task.c.alert_check_at == bindparam("g_alert_check_at"))
    .values(alert_check_at=bindparam("n_check_at"), watched_from=bindparam("n_watched_from")),
    apart=True,
)


@dataclass(frozen=True, slots=True)
class CheckAlerts(Command[int]):
    """Look at up to `limit` tasks that are due for it; return at how many.

    Each raises what has come true and ends what no longer holds. It is checked again when its next alert may be raised.
    One that another replica has locked is left for the next time. No lock is waited for. `only`: for looking at the
    others if one cannot be checked. `why`: of the run that makes a task late; of very many such tasks, the others are
    left for the next time.
    """

    patient = False

    limit: int
    only: Id | None = None
    why: Why = _unexplained

    def apply(self, tx: Transaction) -> int:
        which = () if self.only is None else (task.c.id == self.only,)
        rows = tx.connection.execute(_DUE.where(*which).limit(self.limit), {"g_now": tx.now})
        due = [_Due._make(row) for row in rows]
        subjects = [_subject(tx, each) for each in due]
        looks = dict(_looks(tx, subjects))
        later = frozenset(_late_runs(looks)[MOST_EXPLAINED:])
        names = {each.due.id: each.due.name for each in subjects}
        edges = [(id, edge) for id in looks if id not in later for edge in looks[id].edges]
        write_edges(tx, [self._edge(tx, id, names[id], edge) for id, edge in edges])
        moved = [
            _move(each, looks.get(each.due.id)) for each in subjects if each.due.id not in later
        ]
        if _MOVE.execute(tx.connection, moved) != len(moved):
            raise StaleError("a task was changed by another replica")
        return len(due)

    def _edge(self, tx: Transaction, id: Id, name: str, of: TimedEdge) -> Edge:
        """Return the edge of a task; of a late run, with what holds it back."""
        details = dict(of.details)
        if of.run_id is not None and _is_late_run(of):
            why = self.why(tx.connection, name, of.run_id, tx.now)
            details["message"] = f"{details['message']} {why}".rstrip()
        return Edge(task_id=id, kind=of.kind, raised=of.raised, run_id=of.run_id, details=details)


@dataclass(frozen=True, slots=True)
class PostponeCheck(Command[None]):
    """Look at a task later: it could not be checked."""

    patient = False

    id: Id

    def apply(self, tx: Transaction) -> None:
        later = update(task).where(task.c.id == self.id, task.c.alert_check_at <= tx.now)
        tx.connection.execute(later.values(alert_check_at=tx.now + _POSTPONED))


def due_checks(connection: Connection, now: datetime, limit: int) -> list[Id]:
    """Return up to `limit` tasks that are due for a look."""
    due = select(task.c.id).where(task.c.alert_check_at <= now).order_by(task.c.alert_check_at)
    return list(connection.execute(due.limit(limit)).scalars())


def next_check(connection: Connection) -> datetime | None:
    """Return when a task is to be checked next; None if none is."""
    at: datetime | None = connection.execute(_EARLIEST).scalar_one_or_none()
    return at


def _subject(tx: Transaction, due: _Due) -> _Subject:
    definition = read_definition(due.definition)
    rules = rules_for(tx.connection, due.name, definition)
    since, held_until = due.watched_from or tx.now, None
    holds = holds_at(tx.connection, HoldsVersion(due.holds_number, due.holds_changed_at))
    if holds:  # hardly ever
        task = (due.name, definition.queue, definition.tags, tx.now)
        since = max(since, holds.last_held(*task) or since)
        hold = holds.holding(*task)
        held_until = None if hold is None else hold.ends_at or datetime.max.replace(tzinfo=UTC)
    return _Subject(due, definition, rules, since, held_until)


def _looks(tx: Transaction, subjects: Sequence[_Subject]) -> list[tuple[Id, Look]]:
    """Look at tasks that are not muted: active ones, completed ones, and those that Rota itself has paused."""
    seen = [each for each in subjects if not is_muted(each.due.status, each.due.status_changed_by)]
    if not seen:
        return []
    spans = unwatched_spans(tx.connection)
    raised = raised_alerts(tx.connection, [each.due.id for each in seen])
    waiting = first_waiting(tx.connection, [each.due.id for each in seen if each.rules.on_late])
    made = []
    for each in seen:
        mine = raised.get(each.due.id, {})
        watched = Watched(
            name=each.due.name,
            registered_at=each.due.created_at,
            is_active=each.due.status != TaskStatus.COMPLETED,
            watched_from=each.since,
            last_success_at=each.due.last_success_at,
            last_ping_at=_last_ping(tx, each),
            next_fire_at=each.due.next_fire_at,
            is_unannounced=is_unannounced(each.definition),
            waiting=waiting.get(each.due.id),
            started=latest_started(tx.connection, each.due.id) if AlertKind.LATE in mine else None,
            raised=mine,
        )
        found = look(each.rules, watched, tx.now, spans)
        made.append(
            (each.due.id, found if each.held_until is None else _while_held(each, found, tx.now))
        )
    return made


def _while_held(of: _Subject, found: Look, now: datetime) -> Look:
    """Return a look at a held task, of which nothing is raised: there is no hurry before the end of the hold.

    It counts from now: what would be raised if the hold ended at once is due at `check_at` at the earliest.
    """
    assert of.held_until is not None
    if found.check_at is None:
        return found
    return Look(found.edges, max(found.check_at, min(of.held_until, now + _WHILE_HELD)))


def _late_runs(looks: Mapping[Id, Look]) -> list[Id]:
    """Return the tasks of which a run is late, in their order."""
    return [id for id, seen in looks.items() if any(map(_is_late_run, seen.edges))]


def _is_late_run(of: TimedEdge) -> bool:
    return of.kind is AlertKind.LATE and of.raised and of.run_id is not None


def _last_ping(tx: Transaction, of: _Subject) -> datetime | None:
    """Return the latest ping, if it matters: a success that is recent enough makes it superfluous."""
    if of.rules.of(AlertKind.NO_PING) is None or of.rules.expect_every is None:
        return None
    last = of.due.last_success_at
    if last is not None and tx.now < last + of.rules.expect_every:
        return None
    return latest_ping(tx.connection, of.due.id)


def _move(of: _Subject, seen: Look | None) -> dict[str, Any]:
    """Return when a task is checked next. One that is muted keeps what it counts from, for its resumption."""
    is_watched = has_timed_rules(of.rules)
    return {
        "g_id": of.due.id,
        "g_alert_check_at": of.due.alert_check_at,
        "n_check_at": None if seen is None else seen.check_at,
        "n_watched_from": of.since if is_watched else None,
    }
