"""Commands on the runs of a task: run now, run again, cancel."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from rota.db.command import Command, Transaction
from rota.db.tables import run, task
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason
from rota.domain.runs.lineage import Link, LinkKind
from rota.domain.runs.model import Run
from rota.domain.runs.overlap import Line, has_line, replaces_line, skipped_for
from rota.domain.runs.status import Trigger
from rota.domain.tasks.task import Task
from rota.errors import Conflict
from rota.store.alerts.watching import check_sooner
from rota.store.runs.cancellation import cancel_waiting, request_end
from rota.store.runs.holding import NOT_HELD
from rota.store.runs.insertion import insert_runs
from rota.store.runs.new_run import NewRun, new_run
from rota.store.runs.overlap import lines, place
from rota.store.runs.reading import find_run
from rota.store.sealing.secret_inputs import seal_input, stored_input
from rota.store.task_locks import lock_tasks
from rota.store.task_rows import check_not_cancelled, find_task


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNow(Command[Run]):
    """Make a manual run. Raises NotFound, and Conflict if the task is cancelled or skips on overlap and is busy."""

    task: str
    input: str | None = None
    scheduled_for: datetime | None = None
    traceparent: str | None = None

    def apply(self, tx: Transaction) -> Run:
        found = find_task(tx.connection, self.task, lock=True)
        line = _line(tx, found)
        scheduled_for = self.scheduled_for or tx.now
        made = new_run(
            found.definition,
            tx.now,
            found.id,
            found.generation,
            Trigger.MANUAL,
            scheduled_for,
            self._input(tx, found),
        )
        made.traceparent = self.traceparent
        if scheduled_for > tx.now:
            made.not_before = scheduled_for
        return _insert(tx, found, made, line)

    def _input(self, tx: Transaction, found: Task) -> str:
        if self.input is None:
            return stored_input(tx.connection, found.id, found.definition)
        return seal_input(tx.connection, found.id, found.definition, self.input)


@dataclass(frozen=True, slots=True)
class Rerun(Command[Run]):
    """Make a new run with the input (or another `input`) and `scheduled_for` of a finished one.

    Raises NotFound, Conflict.
    """

    run_id: Id
    traceparent: str | None = None
    #: JSON text; None: that of the finished run.
    input: str | None = None

    def apply(self, tx: Transaction) -> Run:
        old = find_run(tx.connection, self.run_id)
        if not old.status.final:
            raise Conflict(
                f"Run {old.id} is {old.status}; only a finished run can be run again.",
                slug="wrong-status",
                present=_present(old),
            )
        found = find_task(tx.connection, old.task, lock=True)
        line = _line(tx, found)
        made = new_run(
            found.definition,
            tx.now,
            found.id,
            found.generation,
            Trigger.RERUN,
            old.scheduled_for,
            seal_input(
                tx.connection,
                found.id,
                found.definition,
                old.input if self.input is None else self.input,
            ),
        )
        made.rerun_of, made.chain_id = old.id, old.chain
        made.fed_by = (Link(old.id, LinkKind.RERUN),)
        made.traceparent = self.traceparent
        return _insert(tx, found, made, line)


@dataclass(frozen=True, slots=True)
class CancelRun(Command[Run]):
    """Cancel a waiting run at once, request a running one to end. Raises NotFound, Conflict if it has finished."""

    run_id: Id

    def apply(self, tx: Transaction) -> Run:
        # So that no further run waits behind one that is about to end.
        of = select(run.c.task_id).where(run.c.id == self.run_id).scalar_subquery()
        lock_tasks(tx.connection, task.c.id == of)
        this = run.c.id == self.run_id
        if not (
            cancel_waiting(tx, CancelReason.REQUESTED, this)
            or request_end(tx, CancelReason.REQUESTED, this)
        ):
            found = find_run(tx.connection, self.run_id)
            raise Conflict(
                f"Run {found.id} has {found.status} already.",
                slug="wrong-status",
                present=_present(found),
            )
        return find_run(tx.connection, self.run_id)


def skips_on_overlap(task: str, busy: Id, status: str) -> Conflict:
    """Return the error for a task that skips on overlap, and its unfinished run."""
    return Conflict(
        f"Task {task!r} skips on overlap, and its run {busy} is {status}.",
        slug="overlap",
        present={"run": {"id": busy, "status": status}},
    )


def _line(tx: Transaction, found: Task) -> Line:
    """Return the line that a further run of a task meets. Raises Conflict if there can be none.

    A run by hand does not wait for one that waits for the end of a hold, and is not refused for it; it may replace it.
    """
    check_not_cancelled(found)
    policy = found.definition.overlap_policy
    if not has_line(policy):
        return Line()
    which = () if replaces_line(policy) else (NOT_HELD,)
    line = lines(tx, [found.id], *which)[found.id]
    overlapped = skipped_for(policy, line)
    if overlapped is not None:
        busy = find_run(tx.connection, overlapped)
        raise skips_on_overlap(found.name, busy.id, busy.status)
    return line


def _insert(tx: Transaction, found: Task, made: NewRun, line: Line) -> Run:
    if made.not_before is None:
        place(tx, found.definition.overlap_policy, [made], line)
    insert_runs(tx, [made])
    check_sooner(tx, found, made.not_before or tx.now)
    return find_run(tx.connection, made.id)


def _present(of: Run) -> dict[str, Any]:
    return {"run": {"id": of.id, "status": of.status}}
