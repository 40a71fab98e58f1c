"""Quotas of keys, held by the transaction of each write that could exceed them.

What is counted is counted before and after the write, so that every kind of write is judged by what it does: an update
adds no task, a registration over a cancelled task does. On PostgreSQL such writes of keys with the same prefixes are
made one after the other, by an advisory lock of the transaction, so that two replicas cannot both take the last place.
On SQLite there is one writer.
"""

from dataclasses import dataclass
from typing import Any, Generic, assert_never

from sqlalchemy import ColumnElement, Connection, Select, func, select, text

from rota.db.command import Command, R, Transaction
from rota.db.tables import backfill, run, task
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.quotas import Counted, Quota, quota_of
from rota.domain.primitives import json_text
from rota.domain.tasks.definition import TaskStatus
from rota.store.task_names import covers

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Within(Command[R], Generic[R]):
    """Execute a command within a quota. Raises QuotaExceeded, and what the command raises; nothing is stored then."""

    command: Command[R]
    quota: Quota

    def apply(self, tx: Transaction) -> R:
        before = used(tx, self.quota)
        result = self.command.apply(tx)
        self.quota.check(before, count(tx.connection, self.quota))
        return result


def within(client: Principal, counted: Counted, command: Command[R]) -> Command[R]:
    """Return a command that keeps a quota of a client; the same one if it has none."""
    quota = quota_of(client, counted)
    return command if quota is None else Within(command=command, quota=quota)


def used(tx: Transaction, quota: Quota) -> int:
    """Return how many there are; until the commit no other write within the quotas of these prefixes adds any."""
    if not tx.is_sqlite:
        prefixes = json_text.dumps(sorted(quota.tasks.prefixes or ("",)))
        tx.connection.execute(_ONE_AT_A_TIME, {"name": f"rota:{quota.counted}:{prefixes}"})
    return count(tx.connection, quota)


def count(connection: Connection, quota: Quota) -> int:
    """Return how many there are at present."""
    return int(connection.execute(counting(quota)).scalar_one())


def counting(quota: Quota) -> Select[int]:
    """Return the query for how many there are: by ranges of names, and by the unfinished runs of each task."""
    match quota.counted:
        case Counted.TASKS:
            ended = task.c.status.in_((TaskStatus.COMPLETED, TaskStatus.CANCELLED))
            return select(func.count()).select_from(task).where(~ended, *_present(quota.tasks))
        case Counted.UNFINISHED_RUNS:
            unfinished = select(func.count()).select_from(run).where(run.c.finished_at.is_(None))
            to_make = select(func.coalesce(func.sum(backfill.c.runs - backfill.c.made), 0)).where(
                backfill.c.finished_at.is_(None)
            )
            runs = _of_tasks(unfinished, run.c.task_id, quota.tasks).scalar_subquery()
            further = _of_tasks(to_make, backfill.c.task_id, quota.tasks).scalar_subquery()
            return select(runs + further)
        case _:
            assert_never(quota.counted)


def _present(limit: NameLimit) -> tuple[ColumnElement[bool], ...]:
    return task.c.deleted_at.is_(None), covers(limit, task.c.name)


def _of_tasks(counted: Select[Any], task_id: ColumnElement[Any], limit: NameLimit) -> Select[Any]:
    """Return a query for the rows of the tasks of a limit; of all rows without one."""
    if limit.is_unlimited:
        return counted
    return counted.join(task, task.c.id == task_id).where(*_present(limit))
