"""Runs that are about to be inserted."""

from dataclasses import dataclass
from datetime import datetime

from rota.domain.primitives.ids import Id, new_id
from rota.domain.reasons import CancelReason, SkipReason
from rota.domain.runs.lineage import Link
from rota.domain.runs.overlap import Place
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import TaskDefinition
from rota.store.runs.waiting import waiting_on_run


# Without slots: `vars` of it is the row, and costs nothing.
@dataclass(kw_only=True, eq=False)
class NewRun:
    """A run that is about to be inserted; the fields but `fed_by` are columns of the table `run`."""

    id: Id
    task_id: Id
    task_generation: int
    trigger: Trigger
    scheduled_for: datetime
    handler: str
    queue: str
    priority: int
    concurrency_key: str | None
    concurrency_limit: int | None
    constrained: bool
    input: str
    created_at: datetime
    scheduled_until: datetime | None = None
    count: int = 1
    status: RunStatus = RunStatus.QUEUED
    reason: SkipReason | CancelReason | None = None
    waiting_on: str | None = None
    not_before: datetime | None = None
    rerun_of: Id | None = None
    backfill_id: Id | None = None
    #: The first run of its chain; None: itself.
    chain_id: Id | None = None
    #: What has led to it; not a column.
    fed_by: tuple[Link, ...] = ()
    error: str | None = None
    error_type: str | None = None
    attempt: int = 0
    failures: int = 0
    lost_count: int = 0
    conflict_count: int = 0
    finished_at: datetime | None = None
    traceparent: str | None = None

    def take(self, place: Place) -> None:
        """Begin at a place of the task's line."""
        self.status, self.reason = place.status, place.reason
        if place.behind is not None:
            self.waiting_on = waiting_on_run(place.behind)
        if place.status.final:
            self.finished_at = self.created_at

    def skip(self, reason: SkipReason | None) -> None:
        """Begin as skipped."""
        self.take(Place(RunStatus.SKIPPED, reason))


def new_run(
    definition: TaskDefinition,
    now: datetime,
    task_id: Id,
    generation: int,
    trigger: Trigger,
    scheduled_for: datetime,
    input: str,
) -> NewRun:
    """Return a new run of a task with this definition, which is queued; `input` is the text of the column."""
    concurrency = definition.concurrency
    return NewRun(
        id=new_id(now),
        task_id=task_id,
        task_generation=generation,
        trigger=trigger,
        scheduled_for=scheduled_for,
        handler=definition.handler,
        queue=definition.queue,
        priority=definition.priority,
        concurrency_key=None if concurrency is None else concurrency.key,
        concurrency_limit=None if concurrency is None else concurrency.limit,
        constrained=bool(definition.constraints),
        input=input,
        created_at=now,
    )
