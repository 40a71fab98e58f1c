"""Pings: reports of work that Rota does not run, each of which is a finished run of its task."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import insert, update

from rota.db.command import Command, StaleError, Transaction
from rota.db.tables import run, task
from rota.domain.effects import RunEnded
from rota.domain.primitives.ids import Id, new_id
from rota.domain.primitives.json import json_text
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import Run
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import Trigger
from rota.domain.tasks.task import Task
from rota.store.json_columns import dump_error, error_type
from rota.store.runs.reading import find_run
from rota.store.sealing.secret_inputs import stored_input
from rota.store.task_rows import check_not_cancelled, find_task

PingStatus = Literal["succeeded", "failed"]
_NO_MESSAGE = "the ping reported a failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Command[Run]):
    """Record that work of a task has ended outside of Rota, `duration` after it began.

    It meets no other run, and occupies no slot. Raises NotFound, and Conflict if the task is cancelled.
    """

    task: str
    status: PingStatus = "succeeded"
    #: The result of a success, the error of a failure.
    message: str | None = None
    duration: timedelta = timedelta()
    traceparent: str | None = None

    def apply(self, tx: Transaction) -> Run:
        found = find_task(tx.connection, self.task, lock=True)
        check_not_cancelled(found)
        id = new_id(tx.now)
        tx.connection.execute(insert(run), self._row(tx, found, id))
        self._count(tx, found, id)
        ended = RunEnded(id, found.id, self.status, self._reason, Trigger.PING)
        tx.effects.append(ended)
        return find_run(tx.connection, id)

    @property
    def _reason(self) -> FailReason | None:
        return None if self.status == "succeeded" else FailReason.ERROR

    def _row(self, tx: Transaction, found: Task, id: Id) -> dict[str, Any]:
        began_at = tx.now - self.duration
        return {
            "id": id,
            "task_id": found.id,
            "task_generation": found.generation,
            "trigger": Trigger.PING,
            "scheduled_for": tx.now,
            "handler": found.definition.handler,
            "queue": found.definition.queue,
            "priority": found.definition.priority,
            "input": stored_input(tx.connection, found.id, found.definition),
            "attempt": 1,
            "created_at": tx.now,
            "first_started_at": began_at,
            "started_at": began_at,
            "finished_at": tx.now,
            "traceparent": self.traceparent,
            "status": self.status,
            "reason": self._reason,
            **self._outcome(),
        }

    def _outcome(self) -> dict[str, Any]:
        if self._reason is None:
            result = json_text.dumps(self.message)
            return {"outcome": AttemptOutcome.SUCCEEDED, "result": result, "failures": 0}
        error = RunError("ping", self.message or _NO_MESSAGE)
        return {
            "outcome": AttemptOutcome.FAILED,
            "error": dump_error(error),
            "error_type": error_type(error),
            "failures": 1,
        }

    def _count(self, tx: Transaction, found: Task, id: Id) -> None:
        """Write to the task what the end of any run of it does."""
        columns: dict[str, Any] = {"last_run_id": id}
        if self._reason is None:
            columns |= {"last_success_at": tx.now, "consecutive_failures": 0}
        else:
            columns["consecutive_failures"] = task.c.consecutive_failures + 1
        counted = update(task).where(task.c.id == found.id, task.c.deleted_at.is_(None))
        if tx.connection.execute(counted.values(columns)).rowcount != 1:
            raise StaleError("the task was deleted by another replica")
