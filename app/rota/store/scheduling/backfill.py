"""Backfills: past fire times are run again, a few at a time; the row keeps the progress.

A backfill makes its runs one after the other from its own row (`made`, `next_at`), so that it continues after a crash
and on any replica. None is made twice: the commit that makes runs advances the row, by compare-and-set.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert, update

from rota.db.command import Command, Transaction
from rota.db.tables import backfill, run
from rota.domain.backfills import Backfill, Span
from rota.domain.effects import BackfillStarted
from rota.domain.primitives.ids import Id, new_id
from rota.domain.reasons import CancelReason
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import Conflict, NotFound
from rota.store.runs.cancellation import cancel_waiting, request_end
from rota.store.runs.insertion import insert_runs
from rota.store.runs.new_run import NewRun, new_run
from rota.store.runs.waiting import WAITING_ON_PAUSE
from rota.store.scheduling.backfill_rows import end_backfills, find_backfill, write_schedule
from rota.store.sealing.secret_inputs import stored_input
from rota.store.task_rows import check_not_cancelled, find_task, present_task


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginBackfill(Command[Backfill]):
    """Begin a backfill of `runs` fire times. Raises NotFound, Conflict if the task is cancelled or was changed.

    `expected` is the (task id, generation) whose fire times were counted.
    """

    task: str
    expected: tuple[Id, int]
    span: Span
    runs: int
    first: datetime | None
    newest_first: bool = False
    max_concurrent: int = 1
    spacing: timedelta = timedelta(0)
    by: str = "local"
    traceparent: str | None = None

    def apply(self, tx: Transaction) -> Backfill:
        found = find_task(tx.connection, self.task, lock=True)
        _check_can_begin(found, self.expected)
        id = new_id(tx.now)
        row = {
            "id": id,
            "task_id": found.id,
            "schedule": write_schedule(self.span.schedule),
            "anchored_at": self.span.anchor.at,
            "starts_at": self.span.starts_at,
            "ends_at": self.span.ends_at,
            "newest_first": self.newest_first,
            "max_concurrent": self.max_concurrent,
            "spacing": self.spacing.total_seconds(),
            "runs": self.runs,
            "made": 0,
            "next_at": self.first,
            "created_at": tx.now,
            "created_by": self.by,
            "finished_at": tx.now if self.first is None else None,
            "traceparent": self.traceparent,
        }
        tx.connection.execute(insert(backfill), row)
        tx.effects.append(BackfillStarted())
        return find_backfill(tx.connection, found.id, id)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvanceBackfill(Command[int]):
    """Make runs of the next fire times of a backfill; return how many: none if another replica has made them.

    `read` is the backfill as it was read, `next_at` the fire time after `times`. One whose task was cancelled or
    deleted ends. There must be room for `times`; no other command makes runs of a backfill.
    """

    # Its caller tries again, and advances other backfills meanwhile.
    patient = False

    read: Backfill
    times: tuple[datetime, ...]
    next_at: datetime | None

    def apply(self, tx: Transaction) -> int:
        found = self._task(tx)
        if found is None or found.status is TaskStatus.CANCELLED:
            end_backfills(tx, [self.read.task_id])
            return 0
        starts = list(self._starts(tx.now))
        if not self._advance(tx, starts[-1]):
            return 0
        runs = [
            self._run(tx, found, at, not_before)
            for at, not_before in zip(self.times, starts, strict=True)
        ]
        insert_runs(tx, runs)
        return len(runs)

    def _task(self, tx: Transaction) -> Task | None:
        """Return the task, locked; None if it was deleted, even if there is a new one of its name."""
        try:
            found = find_task(tx.connection, self.read.task, lock=True)
        except NotFound:
            return None
        return found if found.id == self.read.task_id else None

    def _starts(self, now: datetime) -> Iterator[datetime]:
        """Yield the time before which each run must not start."""
        start = max(now, self.read.not_before or now)
        for _ in self.times:
            yield start
            start += self.read.spacing

    def _advance(self, tx: Transaction, last_start: datetime) -> bool:
        moved = tx.connection.execute(
            update(backfill)
            .where(
                backfill.c.id == self.read.id,
                backfill.c.made == self.read.made,
                backfill.c.finished_at.is_(None),
            )
            .values(
                made=self.read.made + len(self.times),
                next_at=self.next_at,
                not_before=last_start + self.read.spacing if self.read.spacing else None,
                finished_at=tx.now if self.next_at is None else None,
            )
        )
        return moved.rowcount == 1

    def _run(self, tx: Transaction, found: Task, at: datetime, not_before: datetime) -> NewRun:
        made = new_run(
            found.definition,
            tx.now,
            found.id,
            found.generation,
            Trigger.BACKFILL,
            at,
            stored_input(tx.connection, found.id, found.definition),
        )
        made.backfill_id = self.read.id
        made.traceparent = self.read.traceparent
        if not_before > tx.now:
            made.not_before = not_before
        if found.status is TaskStatus.PAUSED:
            made.status, made.waiting_on = RunStatus.BLOCKED, WAITING_ON_PAUSE
        return made


@dataclass(frozen=True, slots=True)
class EndBackfill(Command[None]):
    """End a backfill whose schedule cannot be planned any more; its runs stay."""

    id: Id

    def apply(self, tx: Transaction) -> None:
        ended = update(backfill).where(backfill.c.id == self.id, backfill.c.finished_at.is_(None))
        tx.connection.execute(ended.values(next_at=None, finished_at=tx.now))


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelBackfill(Command[Backfill]):
    """End a backfill, cancel its waiting runs, request the running ones to end. Raises NotFound.

    If it has ended already, its unfinished runs are cancelled anyway.
    """

    task: str
    id: Id

    def apply(self, tx: Transaction) -> Backfill:
        of = find_task(tx.connection, self.task, lock=True).id
        find_backfill(tx.connection, of, self.id, lock=True)
        EndBackfill(self.id).apply(tx)
        mine = (run.c.task_id == of, run.c.finished_at.is_(None), run.c.backfill_id == self.id)
        cancel_waiting(tx, CancelReason.REQUESTED, *mine)
        request_end(tx, CancelReason.REQUESTED, *mine)
        return find_backfill(tx.connection, of, self.id)


def _check_can_begin(found: Task, expected: tuple[Id, int]) -> None:
    check_not_cancelled(found)
    if (found.id, found.generation) != expected:
        raise Conflict(
            f"Task {found.name!r} was changed while its fire times were counted; try again.",
            present=present_task(found),
        )
