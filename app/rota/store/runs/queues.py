"""Queues: their settings, their runs, and the limits of a claim.

A queue exists as soon as a task names it. A row has its settings; a queue without a row has no limit. A key that is
limited to some tasks sees only the queues of these, and counts only their runs: see `Visible`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    text,
    union,
    update,
)

from rota.db.command import Command, Transaction
from rota.db.tables import queue, run, task
from rota.db.types import spelled_out
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.effects import RunsReady
from rota.domain.runs.status import RunStatus
from rota.errors import NotFound
from rota.store.holds.lasting import is_any_lasting
from rota.store.task_names import covers, of_covered_task


@dataclass(frozen=True, slots=True)
class Visible:
    """What a client may see of queues: those that tasks and unfinished runs in its limit use, and their runs.

    Of a limited client also those that were set and that it may set.
    """

    tasks: NameLimit = UNLIMITED
    queues: NameLimit = UNLIMITED

    @property
    def settings(self) -> NameLimit:
        """The queues that are shown since they were set, whoever uses them."""
        return self.tasks if self.queues.is_unlimited or self.tasks.is_unlimited else self.queues


ALL = Visible()


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue; `queued` includes runs that wait for their time, `updated_at` is None without settings."""

    name: str
    concurrency: int | None
    paused: bool
    queued: int
    running: int
    blocked: int
    #: For when the queued run that waits longest was due; None: none is queued.
    oldest_queued_at: datetime | None
    updated_at: datetime | None
    updated_by: str | None


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The limits of a claim from a queue.

    `keyed`: runs with a concurrency key can be claimed from it. `holds`: some hold lasts, perhaps of none of its tasks.
    """

    concurrency: int | None
    paused: bool
    keyed: bool
    holds: bool

    @property
    def is_selective(self) -> bool:
        """Whether a claim has to look at each run."""
        return self.keyed or self.holds


@dataclass(frozen=True, slots=True, kw_only=True)
class PutQueue(Command[tuple[Queue, bool]]):
    """Set the settings of a queue; return it, and whether it had none before."""

    name: str
    concurrency: int | None
    paused: bool
    by: str
    visible: Visible = ALL

    def apply(self, tx: Transaction) -> tuple[Queue, bool]:
        settings = {"concurrency": self.concurrency, "paused": self.paused}
        of_this = queue.c.name == self.name
        before = tx.connection.execute(select(queue).where(of_this).with_for_update()).one_or_none()
        made = settings | {"updated_at": tx.now, "updated_by": self.by}
        if before is None:
            tx.connection.execute(insert(queue).values(name=self.name, **made))
        elif settings != {"concurrency": before.concurrency, "paused": before.paused}:
            tx.connection.execute(update(queue).where(of_this).values(made))
        tx.effects.append(RunsReady(self.name))
        return _read_queue(tx.connection, self.name, self.visible.tasks), before is None


@dataclass(frozen=True, slots=True)
class RemoveQueue(Command[None]):
    """Remove the settings of a queue: it is not paused and has no limit. Raises NotFound."""

    name: str
    visible: Visible = ALL

    def apply(self, tx: Transaction) -> None:
        removed = tx.connection.execute(delete(queue).where(queue.c.name == self.name))
        if not removed.rowcount:
            find_queue(tx.connection, self.name, self.visible)
        tx.effects.append(RunsReady(self.name))


# Aliases: in the statement that starts runs, these look at rows of their own.
_queue = queue.alias("settings")
_other = run.alias("other")
_NAMED = _queue.c.name == bindparam("g_queue")
_KEYED = exists().where(
    _other.c.queue == bindparam("g_queue"),
    _other.c.status == spelled_out(RunStatus.QUEUED),
    _other.c.not_before.is_(None),
    _other.c.concurrency_key.is_not(None),
)


def not_held() -> ColumnElement[bool]:
    """Guard: the queue (`g_queue`) has no limit, is not paused, has no run with a key; and no hold lasts."""
    limited = exists().where(_NAMED, or_(_queue.c.paused, _queue.c.concurrency.is_not(None)))
    free = (not_(limited), not_(_KEYED), without_holds())
    return and_(*free, run.c.concurrency_key.is_(None))


def without_holds() -> ColumnElement[bool]:
    """Guard: no hold lasts at `g_now`. Looking which tasks one selects is left to claims while one does."""
    return not_(is_any_lasting())


_LIMITS = select(
    select(_queue.c.concurrency).where(_NAMED).scalar_subquery().label("concurrency"),
    select(_queue.c.paused).where(_NAMED).scalar_subquery().label("paused"),
    _KEYED.label("keyed"),
    is_any_lasting().label("holds"),
)


def queue_limits(connection: Connection, name: str, now: datetime) -> QueueLimits:
    """Return the limits of a claim from this queue."""
    row = connection.execute(_LIMITS, {"g_queue": name, "g_now": now}).one()
    return QueueLimits(row.concurrency, bool(row.paused), bool(row.keyed), bool(row.holds))


_RUNNING = select(func.count()).where(
    run.c.status == spelled_out(RunStatus.RUNNING), run.c.queue == bindparam("g_queue")
)


def running_in(connection: Connection, name: str) -> int:
    """Return how many runs of a queue are running, on all replicas."""
    return int(connection.execute(_RUNNING, {"g_queue": name}).scalar_one())


def find_queue(connection: Connection, name: str, visible: Visible = ALL) -> Queue:
    """Return a queue; raises NotFound if it has no settings and neither a task nor an unfinished run names it.

    Only those tasks, runs and settings count that the client may see.
    """
    found = _read_queue(connection, name, visible.tasks)
    is_set = found.updated_at is not None and visible.settings.covers(name)
    has_runs = found.queued or found.running or found.blocked
    if not (is_set or has_runs or _is_named(connection, name, visible.tasks)):
        raise NotFound(f"There is no queue {name!r}: no task names it.")
    return found


def _read_queue(connection: Connection, name: str, tasks: NameLimit) -> Queue:
    row = connection.execute(select(queue).where(queue.c.name == name)).one_or_none()
    return _to_queue(name, row, _counts(connection, [name], tasks).get(name, _NONE))


# By a loose index scan: one look into the index of tasks for each queue.
_NAMES = text("""
    WITH RECURSIVE named(name) AS (
        SELECT (SELECT min(task.queue) FROM task WHERE task.deleted_at IS NULL AND task.queue > :after)
        UNION ALL
        SELECT (SELECT min(task.queue) FROM task WHERE task.deleted_at IS NULL AND task.queue > named.name)
        FROM named WHERE named.name IS NOT NULL
    )
    SELECT name FROM named WHERE name IS NOT NULL
    UNION SELECT name FROM queue WHERE name > :after
    UNION SELECT queue FROM run WHERE finished_at IS NULL AND queue > :after
    ORDER BY name LIMIT :limit
""")


def list_queues(
    connection: Connection, after: str, limit: int, visible: Visible = ALL
) -> list[Queue]:
    """Return up to `limit` of the queues that a client may see, by name, after a name."""
    given = {"after": after, "limit": limit}
    listing = _NAMES if visible.tasks.is_unlimited else _names_of(visible)
    names = list(connection.execute(listing, given).scalars())
    counts = _counts(connection, names, visible.tasks)
    settings = connection.execute(select(queue).where(queue.c.name.in_(names)))
    rows = {row.name: row for row in settings}
    return [_to_queue(name, rows.get(name), counts.get(name, _NONE)) for name in names]


def ended_by_queue(
    connection: Connection, names: Sequence[str], since: datetime, tasks: NameLimit
) -> dict[str, int]:
    """Return how many runs of queues have ended since a time, but for skipped ones; queues without any are left out."""
    ended = (
        select(run.c.queue, func.count().label("number"))
        .where(run.c.finished_at >= since, run.c.status != spelled_out(RunStatus.SKIPPED))
        .where(run.c.queue.in_(names), of_covered_task(tasks, run.c.task_id))
        .group_by(run.c.queue)
    )
    return {row.queue: row.number for row in connection.execute(ended)}


def _names_of(visible: Visible) -> Select[Any]:
    """Return the statement for the names of the queues that a limited client may see: one look at each of its tasks."""
    after: BindParameter[str] = bindparam("after")
    mine = (task.c.deleted_at.is_(None), covers(visible.tasks, task.c.name))
    named = select(task.c.queue.label("name")).where(*mine, task.c.queue > after)
    used = select(run.c.queue).join(task, task.c.id == run.c.task_id)
    used = used.where(run.c.finished_at.is_(None), *mine, run.c.queue > after)
    were_set = select(queue.c.name).where(covers(visible.settings, queue.c.name))
    found = union(named, used, were_set).subquery()
    listing = select(found.c.name).where(found.c.name > after)
    return listing.order_by(found.c.name).limit(bindparam("limit"))


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """The unfinished runs of a queue by status: how many, and for when the oldest was due."""

    numbers: dict[str, int]
    oldest: dict[str, datetime]

    def add(self, status: str, number: int, oldest: datetime) -> None:
        self.numbers[status], self.oldest[status] = number, oldest


_NONE = _Unfinished({}, {})


def _counts(
    connection: Connection, names: Sequence[str], tasks: NameLimit
) -> dict[str, "_Unfinished"]:
    """Return how many unfinished runs of tasks queues have, by status; queues without any are left out."""
    counted = (
        select(run.c.queue, run.c.status, func.count(), func.min(run.c.scheduled_for))
        .where(run.c.finished_at.is_(None), run.c.queue.in_(names))
        .group_by(run.c.queue, run.c.status)
    )
    if not tasks.is_unlimited:
        counted = counted.where(of_covered_task(tasks, run.c.task_id))
    counts: dict[str, _Unfinished] = {}
    for name, status, number, oldest in connection.execute(counted):
        counts.setdefault(name, _Unfinished({}, {})).add(status, number, oldest)
    return counts


def _is_named(connection: Connection, name: str, tasks: NameLimit) -> bool:
    this = (task.c.queue == name, task.c.deleted_at.is_(None), covers(tasks, task.c.name))
    return bool(connection.execute(select(exists().where(*this))).scalar_one())


def _to_queue(name: str, row: Any, unfinished: _Unfinished) -> Queue:
    counts = unfinished.numbers
    return Queue(
        name=name,
        concurrency=None if row is None else row.concurrency,
        paused=False if row is None else row.paused,
        queued=counts.get(RunStatus.QUEUED, 0),
        running=counts.get(RunStatus.RUNNING, 0),
        blocked=counts.get(RunStatus.BLOCKED, 0),
        oldest_queued_at=unfinished.oldest.get(RunStatus.QUEUED),
        updated_at=None if row is None else row.updated_at,
        updated_by=None if row is None else row.updated_by,
    )
