"""The end of attempts that continue outside of Rota and give no sign of life, or take longer than their task allows."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, func, select, update

from rota.db.bulk import Bulk
from rota.db.command import Command, Transaction
from rota.db.tables import attempt_token, replica, run, task
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Cancelled, Outcome, TimedOut
from rota.domain.runs.run_facts import RunFacts
from rota.domain.runs.settlement import settle
from rota.store.completion.complete import ended_outside
from rota.store.completion.end import End
from rota.store.completion.finish import same_attempt, same_request, still_running
from rota.store.completion.kv_writes import PlannedWrites
from rota.store.completion.record import record
from rota.store.completion.task_locks import lock_free_with_successors
from rota.store.definitions import read_definition
from rota.store.replicas import database_time
from rota.store.runs.cancellation import CANCEL_GRACE
from rota.store.runs.claiming.tokens import Grant

# A replica renews its lease after a third of it: one whose lease has less left than this part of it may be dead.
_FRESH = 0.6
# A lease that has expired for longer than this should have been ended by a replica, if there was one.
_IN_TIME = timedelta(seconds=1)


class _Silent(NamedTuple):
    """A running run whose lease has expired."""

    id: Id
    task_id: Id
    handler: str
    attempt: int
    failures: int
    lost_count: int
    conflict_count: int
    first_started_at: datetime
    started_at: datetime
    cancel_reason: str | None
    queue: str
    trigger: str
    concurrency_key: str | None
    constrained: bool
    lease_expires_at: datetime
    deadline_at: datetime | None
    silence_ms: int | None
    task: str
    definition: str


@dataclass(frozen=True, slots=True)
class ExpireLeases(Command[int]):
    """End up to `limit` attempts whose lease has expired, by the clock of leases; return how many.

    They have timed out, which counts and is retried as the task says; those that were requested to end are cancelled.
    One that another replica has locked is left for the next time; so are all of a command that meets the lock of a run
    that only follows from one of them (Locked). `only` is for ending the others then.
    """

    patient = False

    limit: int
    only: Id | None = None

    def apply(self, tx: Transaction) -> int:
        over = _is_over(database_time(tx), self.only)
        found = tx.connection.execute(
            select(run.c.id, run.c.task_id)
            .where(over)
            .order_by(run.c.lease_expires_at)
            .limit(self.limit)
        ).all()
        tasks = lock_free_with_successors(tx, {row.task_id for row in found})
        # Read again once the tasks are locked: a run may have been completed meanwhile, or a heartbeat arrived.
        rows = tx.connection.execute(
            _SILENT.where(run.c.id.in_([row.id for row in found if row.task_id in tasks]), over)
            .order_by(run.c.id)
            .with_for_update(of=run, skip_locked=True)
        )
        silent = [_Silent._make(row) for row in rows]
        ends = [_end(each, tx.now) for each in silent]
        if ends:
            guards = (still_running, same_attempt, same_lease, same_request)
            record(tx, ends, tasks, PlannedWrites(), guards)
            tx.effects.extend(
                ended_outside(each, end.settlement, tx.now)
                for each, end in zip(silent, ends, strict=True)
            )
        return len(ends)


@dataclass(frozen=True, slots=True)
class ForgiveSilence(Command[int]):
    """Restart the heartbeat timeouts that ran while no replica could receive heartbeats; return how many.

    `by` is the replica that has just started, or stood still; `ttl` is that of the leases of replicas. Beside another
    one, which was there, it concerns only those that were not ended in time: the other one may be dead since a moment
    ago. The hard limits stay.
    """

    by: Id
    ttl: timedelta

    def apply(self, tx: Transaction) -> int:
        now = database_time(tx)
        given = {"g_by": self.by, "g_fresh": now + self.ttl * _FRESH}
        was_there = tx.connection.execute(_ANOTHER, given).scalar_one()
        rows = tx.connection.execute(_LEASES.with_for_update(of=run, skip_locked=True)).all()
        changes = [
            {"g_id": row.id, "g_lease_expires_at": row.lease_expires_at, "n_until": until}
            for row in rows
            if (until := Grant(*row[2:]).extended(now)) > row.lease_expires_at
            and (not was_there or row.lease_expires_at < now - _IN_TIME)
        ]
        return _MOVE_LEASE.execute(tx.connection, changes)


@dataclass(frozen=True, slots=True)
class MoveLeases(Command[int]):
    """Let the clock that leases go by, which was set, end no attempt sooner or later; return how many have a lease.

    Only on SQLite, where it is that of this machine. Timeouts move by as much as the clock; those of attempts that
    began `since` then, which were counted from the clock as it is now, stay. Silences begin anew.
    """

    by: timedelta
    since: timedelta

    def apply(self, tx: Transaction) -> int:
        rows = tx.connection.execute(_TIMED).all()
        grants = [self._moved(Grant(*row[4:]), row.started_at, tx.now) for row in rows]
        deadlines = [
            {"g_id": each.run_id, "g_attempt": each.attempt, "n_deadline": each.deadline_at}
            for each in grants
        ]
        _MOVE_DEADLINE.execute(tx.connection, deadlines)
        leases = [
            {
                "g_id": row.id,
                "g_lease_expires_at": row.lease_expires_at,
                "n_until": _lease(grant, tx.now, cancelled=row.cancel_requested_at is not None),
            }
            for row, grant in zip(rows, grants, strict=True)
            if row.lease_expires_at is not None
        ]
        return _MOVE_LEASE.execute(tx.connection, leases)

    def _moved(self, grant: Grant, started_at: datetime, now: datetime) -> Grant:
        if now - self.since <= started_at <= now:
            return grant
        return replace(grant, deadline_at=grant.deadline_at + self.by)


def _lease(grant: Grant, now: datetime, *, cancelled: bool) -> datetime:
    return min(grant.deadline_at, now + CANCEL_GRACE) if cancelled else grant.extended(now)


def is_leased() -> ColumnElement[bool]:
    """Guard: an attempt that a process executes is not ended by a lease."""
    return run.c.lease_token_hash.is_not(None)


def same_lease() -> ColumnElement[bool]:
    """Guard: an attempt that was extended meanwhile continues."""
    return run.c.lease_expires_at == bindparam("g_lease_expires_at")


_SILENT = (
    select(
        *(run.c[name] for name in _Silent._fields[:-4]),
        attempt_token.c.deadline_at,
        attempt_token.c.silence_ms,
        task.c.name,
        task.c.definition,
    )
    .join(task, task.c.id == run.c.task_id)
    .outerjoin(
        attempt_token,
        and_(attempt_token.c.run_id == run.c.id, attempt_token.c.attempt == run.c.attempt),
    )
)
_EARLIEST = (
    select(run.c.lease_expires_at).where(is_leased()).order_by(run.c.lease_expires_at).limit(1)
)


_ANOTHER = select(
    exists().where(
        replica.c.id != bindparam("g_by", type_=replica.c.id.type),
        replica.c.lease_expires_at > bindparam("g_fresh", type_=replica.c.lease_expires_at.type),
    )
)
_LEASES = (
    select(
        run.c.id, run.c.lease_expires_at, *(attempt_token.c[name] for name in Grant.__annotations__)
    )
    .join(
        attempt_token,
        and_(attempt_token.c.run_id == run.c.id, attempt_token.c.attempt == run.c.attempt),
    )
    .where(
        still_running(),
        is_leased(),
        run.c.cancel_requested_at.is_(None),
        attempt_token.c.silence_ms.is_not(None),
    )
    .order_by(run.c.id)
)
_TIMED = (
    select(
        run.c.id,
        run.c.started_at,
        run.c.lease_expires_at,
        run.c.cancel_requested_at,
        *(attempt_token.c[name] for name in Grant.__annotations__),
    )
    .join(
        attempt_token,
        and_(attempt_token.c.run_id == run.c.id, attempt_token.c.attempt == run.c.attempt),
    )
    .where(still_running())
)
_MOVE_LEASE = Bulk(
    update(run)
    .where(run.c.id == bindparam("g_id"), still_running(), same_lease())
    .values(lease_expires_at=bindparam("n_until")),
    apart=True,
)
_MOVE_DEADLINE = Bulk(
    update(attempt_token)
    .where(
        attempt_token.c.run_id == bindparam("g_id"),
        attempt_token.c.attempt == bindparam("g_attempt"),
    )
    .values(deadline_at=bindparam("n_deadline"))
)


def overdue(connection: Connection, now: datetime, limit: int) -> list[Id]:
    """Return runs whose attempt outside has an expired lease, the longest overdue first; `now`: see next_expiry."""
    at = now if connection.dialect.name == "sqlite" else func.clock_timestamp()
    statement = select(run.c.id).where(_is_over(at)).order_by(run.c.lease_expires_at).limit(limit)
    return list(connection.execute(statement).scalars())


def _is_over(now: Any, only: Id | None = None) -> ColumnElement[bool]:
    which = () if only is None else (run.c.id == only,)
    return and_(still_running(), is_leased(), run.c.lease_expires_at <= now, *which)


def next_expiry(connection: Connection, now: datetime) -> timedelta | None:
    """Return in how long the next lease expires, 0 or less if one has; None if there is none.

    By the clock of leases: `now` is only for SQLite, where the clock of this process is that one.
    """
    if connection.dialect.name == "sqlite":
        at = connection.execute(_EARLIEST).scalar_one_or_none()
        return None if at is None else at - now
    row: Any = connection.execute(_EARLIEST.add_columns(func.clock_timestamp())).one_or_none()
    left: timedelta | None = None if row is None else row[0] - row[1]
    return left


def _end(silent: _Silent, now: datetime) -> End:
    retry = read_definition(silent.definition).retry
    facts = RunFacts.of(silent, silent.cancel_reason)
    return End(
        run=silent,
        holder=None,
        cancel_reason=silent.cancel_reason,
        settlement=settle(facts, _outcome(silent), retry, now),
        lease_expires_at=silent.lease_expires_at,
    )


def _outcome(silent: _Silent) -> Outcome:
    if silent.cancel_reason is not None:
        return Cancelled()
    deadline, silence = silent.deadline_at, silent.silence_ms
    if silence is None or (deadline is not None and silent.lease_expires_at >= deadline):
        return TimedOut(RunError("timeout", "the attempt was not completed within its timeout"))
    message = f"the attempt gave no sign of life for {silence / 1000:g} s"
    return TimedOut(RunError("heartbeat", message))
