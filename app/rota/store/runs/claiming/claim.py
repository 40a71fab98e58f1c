"""Claiming: the run table is the queue, and the claim is the start of an attempt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, outerjoin, select, text, update

from rota.db.command import Command, Transaction
from rota.db.tables import queue, run, task
from rota.db.types import is_one_of
from rota.domain.holds.held import NO_HOLDS, Holds, HoldsVersion
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskDefinition
from rota.store.definitions import read_definition
from rota.store.holds.reading import VERSION, holds_at
from rota.store.replicas import lease_is_live
from rota.store.runs.claiming.claim_statements import CLAIMED, LOST_BEFORE, QUEUED, READY, Taker
from rota.store.runs.claiming.starting import ClaimShortfall, Starting
from rota.store.runs.claiming.tokens import Grant, with_tokens
from rota.store.runs.waiting import WAITING, emit_waiting, wait_for_constraints
from rota.store.sealing.secret_inputs import opened_runs
from rota.store.secrets.opening import with_secrets

# By their place: to look one up by its name takes ten times as long.
_ID, _TASK_ID, _SCHEDULED_FOR, _STARTED_AT, _PRIORITY = (
    [column.name for column in CLAIMED].index(name)
    for name in ("id", "task_id", "scheduled_for", "started_at", "priority")
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


_SUSPECTED_QUEUES = select(run.c.queue).where(*READY, LOST_BEFORE).distinct()


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim started, the best first, and why it may not have been more."""

    runs: list[ClaimedRun]
    shortfall: ClaimShortfall = ClaimShortfall.NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Starting, Command[Claimed]):
    """Start runs for handlers that `holder`, a replica, knows: none without a live lease."""

    holder: Id

    # It shares its commit with the ends of the runs before; nothing in it is likely to fail.
    batched = True
    # Its caller tries again, and has other queues to claim from meanwhile.
    patient = False

    def taker(self) -> Taker:
        return Taker(lease_is_live, ("holder",))

    def marks(self, tx: Transaction) -> dict[str, Any]:  # noqa: ARG002
        return {"holder": self.holder}

    def apply(self, tx: Transaction) -> Claimed:
        rows, shortfall = self.start(tx)
        return Claimed(with_tokens(tx, _to_runs(tx.connection, rows, tx.now)), shortfall)


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
            .where(QUEUED, run.c.not_before <= tx.now)
            .order_by(run.c.not_before)
            .limit(self.limit)
            .with_for_update(skip_locked=True)
            .cte("come")
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )
        rows = tx.connection.execute(
            update(run)
            .where(run.c.id.in_(select(come.c.id)), QUEUED)
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
    .where(QUEUED, run.c.not_before.is_not(None))
    .order_by(run.c.not_before)
    .limit(1)
)


def earliest_delayed(connection: Connection) -> datetime | None:
    """Return the earliest `not_before` of the queued runs that wait for one."""
    return connection.execute(_EARLIEST_DELAYED).scalar_one_or_none()


# A queue without settings has no row.
_TASKS = (
    select(
        task.c.id,
        task.c.name,
        task.c.definition,
        task.c.kv_revision,
        task.c.status_changed_at,
        queue.c.updated_at,
        *VERSION,
    )
    .select_from(outerjoin(task, queue, queue.c.name == task.c.queue))
    .where(is_one_of(task.c.id, "g_ids"))
)


class _TaskOfRun(NamedTuple):
    """What a claimed run has of its task: its name, definition, revision of the kv, and since when nothing stops it."""

    name: str
    definition: TaskDefinition
    kv_revision: int
    active_since: datetime


def _tasks(connection: Connection, runs: Sequence[Any]) -> dict[Id, _TaskOfRun]:
    """Return the tasks of claimed runs."""
    ids = {run[_TASK_ID] for run in runs}
    rows = connection.execute(_TASKS, {"g_ids": list(ids)}).all()
    found = {
        id: _TaskOfRun(name, read_definition(definition), revision, max(at, queue_at or at))
        for id, name, definition, revision, at, queue_at, *_holds in rows
    }
    holds = holds_at(connection, HoldsVersion(*rows[0][-2:])) if rows else NO_HOLDS
    return _with_holds(found, holds, runs) if holds else found


def _with_holds(
    tasks: dict[Id, _TaskOfRun], holds: Holds, runs: Sequence[Any]
) -> dict[Id, _TaskOfRun]:
    """Return the tasks of runs, active since the end of a hold that their runs may have waited for."""
    first, now = min(run[_SCHEDULED_FOR] for run in runs), max(run[_STARTED_AT] for run in runs)
    mattering = holds.between(min(first, now), now)
    return {id: _behind(of, mattering, now) for id, of in tasks.items()} if mattering else tasks


def _behind(of: _TaskOfRun, holds: Holds, now: datetime) -> _TaskOfRun:
    held = holds.last_held(of.name, of.definition.queue, of.definition.tags, now)
    return of if held is None else of._replace(active_since=max(of.active_since, held))


def _to_runs(connection: Connection, rows: Sequence[Any], now: datetime) -> list[ClaimedRun]:
    if not rows:
        return []
    return with_secrets(connection, _opened_of(connection, sorted(rows, key=_rank)), now)


def _opened_of(connection: Connection, rows: Sequence[Any]) -> list[ClaimedRun]:
    tasks = _tasks(connection, rows)
    # A task whose row is gone has been deleted, and its runs with it.
    there = (row for row in rows if row[_TASK_ID] in tasks)
    return opened_runs(connection, [_to_claimed(row, tasks) for row in there])


def _rank(row: Any) -> tuple[int, datetime, Id]:
    """Return the place of a run in its queue: the best has the lowest."""
    return -row[_PRIORITY], row[_SCHEDULED_FOR], row[_ID]


def _to_claimed(row: Any, tasks: Mapping[Id, _TaskOfRun]) -> ClaimedRun:
    id, task_id, *rest, _priority = row
    name, *of_task = tasks[task_id]
    fields = (id, task_id, name, *rest, *of_task)
    return ClaimedRun(*fields)


def held_runs(connection: Connection, holder: Id) -> list[ClaimedRun]:
    """Return the runs that a process holds, as its claims returned them."""
    held = (run.c.status == RunStatus.RUNNING, run.c.holder == holder)
    return _opened_of(connection, connection.execute(select(*CLAIMED).where(*held)).all())


def leased_run(connection: Connection, grant: Grant) -> ClaimedRun | None:
    """Return the run whose attempt a token completes, with its task's present definition; None if it has ended."""
    going_on = (run.c.status == RunStatus.RUNNING, run.c.attempt == grant.attempt)
    statement = select(*CLAIMED).where(run.c.id == grant.run_id, *going_on)
    rows = connection.execute(statement).all()
    tasks = _tasks(connection, rows)
    found = (_to_claimed(row, tasks) for row in rows if row[_TASK_ID] in tasks)
    return next((replace(each, kv_revision=grant.kv_revision) for each in found), None)
