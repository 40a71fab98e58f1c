"""Quotas of keys, held by the transaction of each write that could exceed them.

Tasks are counted before and after the write, so that every kind of write is judged by what it does: an update adds no
task, a registration over a cancelled task does. On PostgreSQL such writes are made one after the other, by an advisory
lock of the transaction, so that two replicas cannot both take the last place. It is one lock for all quotas: prefixes
of keys overlap, and of several locks a transaction of many writes would take them in an order of its own. On SQLite
there is one writer.
"""

from dataclasses import dataclass
from typing import Any, Generic, assert_never

from sqlalchemy import ColumnElement, Connection, Select, func, select, text

from rota.db.command import Command, R, Transaction
from rota.db.tables import backfill, run, task
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.quotas import Counted, Quota, quota_of
from rota.domain.tasks.definition import TaskStatus
from rota.store.task_names import covers

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('rota:quotas', 0))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Within(Command[R], Generic[R]):
    """Execute a command within a quota. Raises QuotaExceeded, and what the command raises; nothing is stored then.

    `adds`: how many it adds if it succeeds, where that is known: then it is counted once.
    """

    command: Command[R]
    quota: Quota
    adds: int | None = None

    def apply(self, tx: Transaction) -> R:
        _wait_for_others(tx)
        before = count(tx.connection, self.quota) if self.adds is None else None
        result = self.command.apply(tx)
        after = count(tx.connection, self.quota)
        self.quota.check(after - (self.adds or 0) if before is None else before, after)
        return result


def within(
    client: Principal, counted: Counted, command: Command[R], *, adds: int | None = None
) -> Command[R]:
    """Return a command that keeps a quota of a client; the same one if it has none."""
    quota = quota_of(client, counted)
    return command if quota is None else Within(command=command, quota=quota, adds=adds)


def within_registration(client: Principal, command: Command[R], *, seeds: bool) -> Command[R]:
    """Return a registration that keeps the quotas of a client; `seeds`: whether it writes kv entries."""
    limited = within(client, Counted.TASKS, command)
    return within(client, Counted.KV_BYTES, limited) if seeds else limited


def used(tx: Transaction, quota: Quota) -> int:
    """Return how many there are; until the commit no other write within a quota adds any."""
    _wait_for_others(tx)
    return count(tx.connection, quota)


def _wait_for_others(tx: Transaction) -> None:
    if not tx.is_sqlite:
        tx.connection.execute(_ONE_AT_A_TIME)


def count(connection: Connection, quota: Quota) -> int:
    """Return how many there are at present."""
    return int(connection.execute(counting(quota)).scalar_one())


def counting(quota: Quota) -> Select[int]:
    """Return the query for how many there are."""
    match quota.counted:
        case Counted.TASKS:
            ended = task.c.status.in_((TaskStatus.COMPLETED, TaskStatus.CANCELLED))
            return select(func.count()).select_from(task).where(~ended, *_present(quota.tasks))
        case Counted.UNFINISHED_RUNS:
            runs, further = _unfinished(quota.tasks), _to_make(quota.tasks)
            return select(runs.scalar_subquery() + further.scalar_subquery())
        case Counted.KV_BYTES:
            size = func.coalesce(func.sum(task.c.kv_bytes), 0)
            return select(size).where(task.c.kv_bytes > 0, *_present(quota.tasks))
        case _:
            assert_never(quota.counted)


def _present(limit: NameLimit) -> tuple[ColumnElement[bool], ...]:
    return task.c.deleted_at.is_(None), covers(limit, task.c.name)


def _unfinished(limit: NameLimit) -> Select[Any]:
    """Return the query for the unfinished runs: with a limit, one look-up for each task.

    A join could be planned the other way round, with all tasks of the limit looked at for each run, which took
    PostgreSQL seconds as long as it had no statistics.
    """
    unfinished = select(func.count()).select_from(run).where(run.c.finished_at.is_(None))
    if limit.is_unlimited:
        return unfinished
    of_task = unfinished.where(run.c.task_id == task.c.id).correlate(task).scalar_subquery()
    return select(func.coalesce(func.sum(of_task), 0)).where(*_present(limit))


def _to_make(limit: NameLimit) -> Select[Any]:
    """Return the query for the runs that unfinished backfills have yet to make: there are few of these."""
    of = select(task.c.name).where(task.c.id == backfill.c.task_id, task.c.deleted_at.is_(None))
    begun = select(
        (backfill.c.runs - backfill.c.made).label("left"),
        of.correlate(backfill).scalar_subquery().label("task"),
    )
    unfinished = begun.where(backfill.c.finished_at.is_(None)).subquery()
    total = select(func.coalesce(func.sum(unfinished.c.left), 0))
    return total.where(covers(limit, unfinished.c.task))
