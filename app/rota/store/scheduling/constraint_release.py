"""Runs that wait for their constraints: released, given what they wait for, or ended when they have waited too long.

They are changed by task: the constraints are the task's, so all of its runs wait for the same.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Select, and_, false, or_, select, update

from rota.db.command import Command, Transaction
from rota.db.tables import run, task
from rota.domain.effects import RunsConstrained
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.reasons import FailReason, SkipReason
from rota.domain.runs.status import RunStatus
from rota.store.replicas import known_handlers
from rota.store.runs import waiting
from rota.store.runs.cancellation import EndedRun, end_runs
from rota.store.runs.waiting import emit_waiting, next_wait, wait_for_constraints
from rota.store.scheduling.constraint_facts import FOR_CONSTRAINTS, SINCE, WAITING
from rota.store.task_locks import lock_tasks


@dataclass(frozen=True, slots=True)
class Release(Command[int]):
    """Queue up to `limit` runs of a task whose constraints are met; return how many.

    Nothing is queued if the task has been changed since generation `generation`, whose constraints were checked.
    """

    patient = False

    task_id: Id
    generation: int
    limit: int

    def apply(self, tx: Transaction) -> int:
        if not _lock(tx, self.task_id, self.generation):
            return 0
        unknown = run.c.handler.not_in(known_handlers(tx.connection))
        rows = tx.connection.execute(
            update(run)
            .where(run.c.id.in_(_first(self.task_id, self.limit)), *WAITING)
            .values(next_wait(unknown, constrained=false()))
            .returning(*waiting.WAITING)
        ).all()
        emit_waiting(tx, rows)
        return len(rows)


@dataclass(frozen=True, slots=True)
class RecordUnmet(Command[int]):
    """Store the unmet constraints that up to `limit` runs of a task wait for, where they differ; return how many."""

    patient = False

    task_id: Id
    waiting_on: tuple[str, ...]
    limit: int

    def apply(self, tx: Transaction) -> int:
        _lock(tx, self.task_id)
        unmet = json_text.dumps(list(self.waiting_on))
        differs = run.c.waiting_on != unmet
        changed = (
            update(run)
            .where(run.c.id.in_(_first(self.task_id, self.limit, differs)), *WAITING)
            .values(waiting_on=unmet)
        )
        return tx.connection.execute(changed).rowcount


@dataclass(frozen=True, slots=True)
class SkipOverdue(Command[int]):
    """Skip up to `limit` runs of a task that could have started `deadline` ago, and have not; return how many."""

    patient = False

    task_id: Id
    generation: int
    deadline: timedelta
    limit: int

    def apply(self, tx: Transaction) -> int:
        if not _lock(tx, self.task_id, self.generation):
            return 0
        overdue = (run.c.attempt == 0, tx.now - self.deadline >= SINCE)
        ids = _first(self.task_id, self.limit, *overdue)
        ended = end_runs(
            tx, RunStatus.SKIPPED, SkipReason.CONSTRAINT_DEADLINE, run.c.id.in_(ids), *WAITING
        )
        return len(ended)


@dataclass(frozen=True, slots=True)
class FailOverdue(Command[int]):
    """Fail up to `limit` runs of a task that started `max_elapsed` ago: too late to be tried again; return how many."""

    patient = False

    task_id: Id
    generation: int
    max_elapsed: timedelta
    limit: int

    def apply(self, tx: Transaction) -> int:
        if not _lock(tx, self.task_id, self.generation):
            return 0
        overdue = (run.c.attempt > 0, run.c.first_started_at <= tx.now - self.max_elapsed)
        ids = _first(self.task_id, self.limit, *overdue)
        ended = end_runs(tx, RunStatus.FAILED, FailReason.DEADLINE, run.c.id.in_(ids), *WAITING)
        _count_failures(tx, ended)
        return len(ended)


def change_constraints(tx: Transaction, task_id: Id, *, constrained: bool) -> None:
    """Make the coming attempts of a task's runs wait for constraints, or not, as in its new definition."""
    unfinished = and_(run.c.task_id == task_id, run.c.finished_at.is_(None))
    if constrained:
        tx.connection.execute(update(run).where(unfinished).values(constrained=True))
        ready = and_(unfinished, run.c.status == RunStatus.QUEUED, run.c.not_before.is_(None))
        tx.connection.execute(update(run).where(ready).values(wait_for_constraints()))
    else:
        # Those that wait for constraints keep the mark by which they are found and released.
        elsewhere = or_(run.c.waiting_on.is_(None), ~FOR_CONSTRAINTS)
        tx.connection.execute(update(run).where(unfinished, elsewhere).values(constrained=False))
    tx.effects.append(RunsConstrained())


def _first(task_id: Id, limit: int, *which: ColumnElement[bool]) -> Select[tuple[Id]]:
    first = select(run.c.id).where(run.c.task_id == task_id, *WAITING, *which)
    return first.order_by(run.c.scheduled_for, run.c.id).limit(limit)


def _lock(tx: Transaction, task_id: Id, generation: int | None = None) -> bool:
    """Lock a task, so that its runs are changed by one replica at a time; return whether it is of this generation."""
    return any(
        each.generation == generation for each in lock_tasks(tx.connection, task.c.id == task_id)
    )


def _count_failures(tx: Transaction, failed: list[EndedRun]) -> None:
    if failed:
        tx.connection.execute(
            update(task)
            .where(task.c.id == failed[-1].task_id)
            .values(
                last_run_id=failed[-1].id,
                consecutive_failures=task.c.consecutive_failures + len(failed),
            )
        )
