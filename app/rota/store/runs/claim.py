"""Claiming: the run table is the queue, and the claim is the start of an attempt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, assert_never

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    bindparam,
    func,
    literal_column,
    not_,
    or_,
    select,
    text,
    update,
)

from rota.db.tables import run, task
from rota.db.types import is_one_of, spelled_out
from rota.db.writer import Command, Transaction
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskDefinition
from rota.store.replicas import lease_is_live
from rota.store.runs import concurrency_keys
from rota.store.runs.queues import QueueLimits, not_held, queue_limits, running_in
from rota.store.runs.waiting import WAITING, emit_waiting, wait_for_constraints
from rota.store.secret_inputs import opened_runs
from rota.store.task_rows import read_definition

_QUEUED = run.c.status == spelled_out(RunStatus.QUEUED)
_READY = (_QUEUED, run.c.not_before.is_(None))
_ORDER = (run.c.priority.desc(), run.c.scheduled_for, run.c.id)
_CLAIMABLE = (
    run.c.queue == bindparam("g_queue"),
    *_READY,
    run.c.handler.in_(bindparam("g_handlers", expanding=True)),
)
# A claim looks at more candidates than it can start, since keys may hold some back, but not at all of them.
_SPARE = 50
_PAGE = 500
_ROUNDS = 2
_LOST_BEFORE = run.c.lost_count > literal_column("0")
# In the order of the members of a ClaimedRun; last what only the order of the runs needs.
_CLAIMED = (
    run.c.id,
    run.c.task_id,
    run.c.handler,
    run.c.queue,
    run.c.attempt,
    run.c.failures,
    run.c.lost_count,
    run.c.conflict_count,
    run.c.trigger,
    run.c.scheduled_for,
    run.c.first_started_at,
    run.c.started_at,
    run.c.input,
    run.c.concurrency_key,
    run.c.constrained,
    run.c.priority,
)
# By their place: to look one up by its name takes ten times as long.
_ID, _TASK_ID, _SCHEDULED_FOR, _PRIORITY = (
    [column.name for column in _CLAIMED].index(name)
    for name in ("id", "task_id", "scheduled_for", "priority")
)
# A loose index scan: one look into the index for each queue that has something, however long the queues are.
_QUEUES = text("""
    WITH RECURSIVE waiting(name) AS (
        SELECT (SELECT min(queue) FROM run WHERE status = 'queued' AND not_before IS NULL)
        UNION ALL
        SELECT (SELECT min(queue) FROM run
                WHERE status = 'queued' AND not_before IS NULL AND queue > waiting.name)
        FROM waiting WHERE waiting.name IS NOT NULL
    )
    SELECT name FROM waiting WHERE name IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.name = waiting.name AND queue.paused)
""")


_SUSPECTED_QUEUES = select(run.c.queue).where(*_READY, _LOST_BEFORE).distinct()

Lease = Callable[[bool], ColumnElement[bool]]
Guard = Callable[[], ColumnElement[bool]]


class Suspects(StrEnum):
    """Whether a claim is for runs that were lost with their process before: these are executed by themselves."""

    WITH = "with"  # all
    WITHOUT = "without"
    ONLY = "only"


class ClaimShortfall(StrEnum):
    """Why a claim may have started fewer runs than requested."""

    NOTHING = "nothing"  # there were no more, or the queue is paused
    MORE = "more"  # it put many runs aside that their keys hold back; others may come behind them
    LOCKED = "locked"  # another replica is claiming from this queue, or with these keys
    FULL = "full"  # the queue has reached its limit of running runs


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim started, the best first, and why it may not have been more."""

    runs: list[ClaimedRun]
    shortfall: ClaimShortfall = ClaimShortfall.NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Command[Claimed]):
    """Start up to `limit` of the best queued runs of one queue, for handlers that `holder` knows.

    Best: highest priority, then earliest `scheduled_for`. Nothing is started for a holder without a live lease, in a
    paused queue, or beyond the limits of the queue and of the runs' concurrency keys.
    """

    holder: Id
    queue: str
    handlers: tuple[str, ...]
    limit: int
    suspects: Suspects = Suspects.WITH

    # It shares its commit with the ends of the runs before; nothing in it is likely to fail.
    batched = True
    # Its caller tries again, and has other queues to claim from meanwhile.
    patient = False

    def apply(self, tx: Transaction) -> Claimed:
        # Most queues have neither limits nor keys: one statement checks that and claims.
        rows = self._start_best(tx, self.limit, not_held)
        shortfall = ClaimShortfall.NOTHING
        if not rows:
            rows, shortfall = self._claim_held(tx, queue_limits(tx.connection, self.queue))
        return Claimed(_to_runs(tx.connection, rows), shortfall)

    def _claim_held(
        self, tx: Transaction, limits: QueueLimits
    ) -> tuple[Sequence[Any], ClaimShortfall]:
        if limits.paused:
            return (), ClaimShortfall.NOTHING
        if limits.concurrency is None:
            return (
                self._claim_keyed(tx, self.limit) if limits.keyed else ((), ClaimShortfall.NOTHING)
            )
        if not concurrency_keys.try_lock(tx, [f"queue:{self.queue}"]):
            return (), ClaimShortfall.LOCKED
        room = min(self.limit, limits.concurrency - running_in(tx.connection, self.queue))
        if room <= 0:
            return (), ClaimShortfall.FULL
        rows, shortfall = self._claim_within(tx, room, keyed=limits.keyed)
        return rows, ClaimShortfall.FULL if len(rows) == room < self.limit else shortfall

    def _claim_within(
        self, tx: Transaction, room: int, *, keyed: bool
    ) -> tuple[Sequence[Any], ClaimShortfall]:
        if keyed:
            return self._claim_keyed(tx, room)
        return self._start_best(tx, room, _without_key), ClaimShortfall.NOTHING

    def _claim_keyed(self, tx: Transaction, most: int) -> tuple[list[Any], ClaimShortfall]:
        """Go through the queue in its order: start what may start, block what its key holds back."""
        started: list[Any] = []
        locked: frozenset[str] = frozenset()
        taken = False
        size = most + _SPARE
        for _ in range(_ROUNDS):
            page = self._candidates(tx, locked, size)
            found = concurrency_keys.decide(tx, page, most - len(started))
            concurrency_keys.block(tx, found.over_limit)
            locked |= found.locked
            rows = self._start_these(tx, found.startable)
            started.extend(rows)
            taken = taken or len(rows) < len(found.startable)
            if len(page) < size or len(started) >= most:
                break
            size = _PAGE
        else:
            return started, ClaimShortfall.MORE
        missed = (locked or taken) and len(started) < most
        return started, ClaimShortfall.LOCKED if missed else ClaimShortfall.NOTHING

    def _candidates(
        self, tx: Transaction, without: frozenset[str], number: int
    ) -> list[concurrency_keys.Candidate]:
        given = {
            "g_queue": self.queue,
            "g_handlers": self.handlers,
            "g_without": list(without),
            "g_limit": number,
        }
        rows = tx.connection.execute(_candidates(self.suspects), given)
        return [concurrency_keys.Candidate(*row) for row in rows]

    def _start_best(self, tx: Transaction, most: int, *guards: Guard) -> Sequence[Any]:
        given = {
            "g_holder": self.holder,
            "g_queue": self.queue,
            "g_handlers": self.handlers,
            "g_limit": most,
            "g_now": tx.now,
        }
        starting = _starting_best(tx.is_sqlite, lease_is_live, self.suspects, *guards)
        return tx.connection.execute(starting, given).all()

    def _start_these(self, tx: Transaction, ids: Sequence[Id]) -> Sequence[Any]:
        if not ids:
            return ()
        given = {"g_holder": self.holder, "g_ids": ids, "g_now": tx.now}
        return tx.connection.execute(_starting_these(tx.is_sqlite, lease_is_live), given).all()


def _without_key() -> ColumnElement[bool]:
    """Guard: a run with a key that was queued since the limits were read is for the next claim."""
    return run.c.concurrency_key.is_(None)


def _among(suspects: Suspects) -> Sequence[ColumnElement[bool]]:
    """Guard: a run that was lost before runs beside nothing that it could end with its process."""
    match suspects:
        case Suspects.WITH:
            return ()
        case Suspects.WITHOUT:
            return (not_(_LOST_BEFORE),)
        case Suspects.ONLY:
            return (_LOST_BEFORE,)
        case _:
            assert_never(suspects)


@lru_cache
def _candidates(suspects: Suspects) -> Any:
    """Return the query for the candidates of a claim, the best first; it is built once."""
    return (
        select(run.c.id, run.c.concurrency_key, run.c.concurrency_limit)
        .where(*_CLAIMABLE, *_among(suspects))
        .where(
            or_(
                run.c.concurrency_key.is_(None),
                run.c.concurrency_key.not_in(bindparam("g_without", expanding=True)),
            )
        )
        .order_by(*_ORDER)
        .limit(bindparam("g_limit", type_=Integer))
    )


@lru_cache
def _starting_best(is_sqlite: bool, lease: Lease, suspects: Suspects, *guards: Guard) -> Any:  # noqa: FBT001
    """Return the statement that starts runs; it is built once, since that costs more than executing it."""
    # MATERIALIZED and SKIP LOCKED: replicas take different rows, and the planner does not run the LIMIT twice.
    due = (
        select(run.c.id)
        .where(*_CLAIMABLE, *_among(suspects), *(guard() for guard in guards))
        .order_by(*_ORDER)
        .limit(bindparam("g_limit", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("due")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return _starting(run.c.id.in_(select(due.c.id)), lease(is_sqlite))


@lru_cache
def _starting_these(is_sqlite: bool, lease: Lease) -> Any:  # noqa: FBT001
    """Return the statement that starts certain runs (`g_ids`), except those that another replica has claimed."""
    # Not `not_before IS NULL`: a planner without statistics would go through all of `ix_run_claim` for these few ids.
    now = bindparam("g_now", type_=run.c.not_before.type)
    is_due = func.coalesce(run.c.not_before, now) <= now
    free = (
        select(run.c.id)
        .where(is_one_of(run.c.id, "g_ids"), _QUEUED, is_due)
        .with_for_update(skip_locked=True)
        .cte("free")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return _starting(run.c.id.in_(select(free.c.id)), lease(is_sqlite))


def _starting(*which: ColumnElement[bool]) -> Any:
    now = bindparam("g_now", type_=run.c.started_at.type)
    return (
        update(run)
        .where(*which, run.c.status == spelled_out(RunStatus.QUEUED))
        .values(
            status=RunStatus.RUNNING,
            attempt=run.c.attempt + 1,
            holder=bindparam("g_holder", type_=run.c.holder.type),
            started_at=now,
            first_started_at=func.coalesce(run.c.first_started_at, now),
            outcome=None,
            error=None,
            progress=None,
        )
        .returning(*_CLAIMED)
    )


@dataclass(frozen=True, slots=True)
class ReleaseDelayed(Command[int]):
    """Make up to `limit` runs claimable whose `not_before` has come; return how many.

    One that another replica has locked is left for the next time.
    """

    patient = False

    limit: int

    def apply(self, tx: Transaction) -> int:
        come = (
            select(run.c.id)
            .where(_QUEUED, run.c.not_before <= tx.now)
            .order_by(run.c.not_before)
            .limit(self.limit)
            .with_for_update(skip_locked=True)
            .cte("come")
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )
        rows = tx.connection.execute(
            update(run)
            .where(run.c.id.in_(select(come.c.id)), _QUEUED)
            .where(run.c.not_before <= tx.now)
            .values(not_before=None, **wait_for_constraints())
            .returning(*WAITING)
        ).all()
        emit_waiting(tx, rows)
        return len(rows)


def waiting_queues(connection: Connection) -> list[str]:
    """Return the names of the queues in which a run can be claimed."""
    return list(connection.execute(_QUEUES).scalars())


def suspected_queues(connection: Connection) -> list[str]:
    """Return the names of the queues in which a run can be claimed that was lost before."""
    return list(connection.execute(_SUSPECTED_QUEUES).scalars())


_EARLIEST_DELAYED = (
    select(run.c.not_before)
    .where(_QUEUED, run.c.not_before.is_not(None))
    .order_by(run.c.not_before)
    .limit(1)
)


def earliest_delayed(connection: Connection) -> datetime | None:
    """Return the earliest `not_before` of the queued runs that wait for one."""
    return connection.execute(_EARLIEST_DELAYED).scalar_one_or_none()


_TASKS = select(task.c.id, task.c.name, task.c.definition, task.c.kv_revision).where(
    is_one_of(task.c.id, "g_ids")
)


_Of = tuple[str, TaskDefinition, int]


def _tasks(connection: Connection, ids: set[Id]) -> dict[Id, _Of]:
    """Return name, definition and revision of the kv of tasks."""
    return {
        id: (name, read_definition(definition), revision)
        for id, name, definition, revision in connection.execute(_TASKS, {"g_ids": list(ids)})
    }


def _to_runs(connection: Connection, rows: Sequence[Any]) -> list[ClaimedRun]:
    if not rows:
        return []
    return _opened_of(connection, sorted(rows, key=_rank))


def _opened_of(connection: Connection, rows: Sequence[Any]) -> list[ClaimedRun]:
    tasks = _tasks(connection, {row[_TASK_ID] for row in rows})
    # A task whose row is gone has been deleted, and its runs with it.
    there = (row for row in rows if row[_TASK_ID] in tasks)
    return opened_runs(connection, [_to_claimed(row, tasks) for row in there])


def _rank(row: Any) -> tuple[int, datetime, Id]:
    """Return the place of a run in its queue: the best has the lowest."""
    return -row[_PRIORITY], row[_SCHEDULED_FOR], row[_ID]


def _to_claimed(row: Any, tasks: Mapping[Id, _Of]) -> ClaimedRun:
    id, task_id, *rest, _priority = row
    name, definition, revision = tasks[task_id]
    members = (id, task_id, name, *rest, definition, revision)
    return ClaimedRun(*members)


def held_runs(connection: Connection, holder: Id) -> list[ClaimedRun]:
    """Return the runs that a process holds, as its claims returned them."""
    held = (run.c.status == RunStatus.RUNNING, run.c.holder == holder)
    return _opened_of(connection, connection.execute(select(*_CLAIMED).where(*held)).all())
