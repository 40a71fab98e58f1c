"""Commands on the runs of a task: run now, run again, cancel."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from rota.db.tables import run, task
from rota.db.writer import Command, Transaction
from rota.domain.policies import OverlapPolicy
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason
from rota.domain.runs.model import Run
from rota.domain.runs.status import Trigger
from rota.domain.tasks.definition import Task, TaskStatus
from rota.errors import Conflict
from rota.store.follow_ups import follow
from rota.store.replicas import known_handlers
from rota.store.runs.cancellation import ask_to_end, cancel_waiting
from rota.store.runs.insertion import new_run_of
from rota.store.runs.overlap import OCCUPIES, lines, place
from rota.store.runs.reading import find_run
from rota.store.runs.waiting import insertable, tell_inserted
from rota.store.secret_inputs import seal_input, stored_input
from rota.store.task_rows import find_task, present_task


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNow(Command[Run]):
    """Make a manual run. Raises NotFound, and Conflict if the task is cancelled or skips on overlap and is busy."""

    task: str
    input: str | None = None
    scheduled_for: datetime | None = None

    def apply(self, tx: Transaction) -> Run:
        found = find_task(tx.connection, self.task, lock=True)
        _check_can_run(tx, found)
        scheduled_for = self.scheduled_for or tx.now
        row = new_run_of(
            found.definition,
            tx.now,
            found.id,
            generation=found.generation,
            trigger=Trigger.MANUAL,
            scheduled_for=scheduled_for,
            not_before=scheduled_for if scheduled_for > tx.now else None,
            input=self._input(tx, found),
        )
        return _insert(tx, found, row)

    def _input(self, tx: Transaction, found: Task) -> str:
        if self.input is None:
            return stored_input(tx.connection, found.id, found.definition)
        return seal_input(tx.connection, found.id, found.definition, self.input)


@dataclass(frozen=True, slots=True)
class Rerun(Command[Run]):
    """Make a new run with the input and `scheduled_for` of a finished one. Raises NotFound, Conflict."""

    run_id: Id

    def apply(self, tx: Transaction) -> Run:
        old = find_run(tx.connection, self.run_id)
        if not old.status.final:
            raise Conflict(
                f"Run {old.id} is {old.status}; only a finished run can be run again.",
                slug="wrong-status",
                present=_present(old.id, old.status),
            )
        found = find_task(tx.connection, old.task, lock=True)
        _check_can_run(tx, found)
        row = new_run_of(
            found.definition,
            tx.now,
            found.id,
            generation=found.generation,
            trigger=Trigger.RERUN,
            scheduled_for=old.scheduled_for,
            input=seal_input(tx.connection, found.id, found.definition, old.input),
            rerun_of=old.id,
        )
        return _insert(tx, found, row)


@dataclass(frozen=True, slots=True)
class CancelRun(Command[Run]):
    """Cancel a waiting run at once, ask a running one to end. Raises NotFound, Conflict if it has finished."""

    run_id: Id

    def apply(self, tx: Transaction) -> Run:
        _lock_task_of(tx, self.run_id)
        mark = len(tx.effects)
        this = run.c.id == self.run_id
        if not (
            cancel_waiting(tx, CancelReason.REQUESTED, this)
            or ask_to_end(tx, CancelReason.REQUESTED, this)
        ):
            found = find_run(tx.connection, self.run_id)
            raise Conflict(
                f"Run {found.id} has {found.status} already.",
                slug="wrong-status",
                present=_present(found.id, found.status),
            )
        follow(tx, mark)
        return find_run(tx.connection, self.run_id)


def _lock_task_of(tx: Transaction, run_id: Id) -> None:
    """Lock the task of a run, so that no further run gets in line behind one that is about to end."""
    of = select(run.c.task_id).where(run.c.id == run_id).scalar_subquery()
    tx.connection.execute(select(task.c.id).where(task.c.id == of).with_for_update())


def _check_can_run(tx: Transaction, found: Task) -> None:
    if found.status is TaskStatus.CANCELLED:
        raise Conflict(
            f"Task {found.name!r} is cancelled; register it again to revive it.",
            slug="wrong-status",
            present=present_task(found),
        )
    if found.definition.overlap_policy is not OverlapPolicy.SKIP:
        return
    unfinished = select(run.c.id, run.c.status).where(
        run.c.task_id == found.id, run.c.cancel_requested_at.is_(None), *OCCUPIES
    )
    busy = tx.connection.execute(unfinished.limit(1)).one_or_none()
    if busy is not None:
        raise Conflict(
            f"Task {found.name!r} skips on overlap, and its run {busy.id} is {busy.status}.",
            slug="overlap",
            present=_present(busy.id, busy.status),
        )


def _present(run_id: Id, status: str) -> dict[str, Any]:
    return {"run": {"id": run_id, "status": status}}


def _insert(tx: Transaction, found: Task, row: dict[str, Any]) -> Run:
    mark = len(tx.effects)
    policy = found.definition.overlap_policy
    if row["not_before"] is None and policy is not OverlapPolicy.ALLOW:
        place(tx, policy, [row], lines(tx, [found.id])[found.id])
    tx.connection.execute(insert(run), insertable(row, known_handlers(tx.connection)))
    tell_inserted(tx, [row])
    follow(tx, mark)
    return find_run(tx.connection, row["id"])
