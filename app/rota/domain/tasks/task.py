"""Tasks, as they are stored: a definition, its status, and the ends of its runs."""

from dataclasses import dataclass
from datetime import datetime

from rota.domain.primitives.ids import Id
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.replanning.moved_fire_time import NextFire
from rota.domain.tasks.definition import TaskDefinition, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The run of a task that finished last."""

    id: Id
    status: str
    scheduled_for: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A registered task in its present state."""

    id: Id
    name: str
    definition: TaskDefinition
    status: TaskStatus
    status_reason: str | None
    status_changed_at: datetime
    status_changed_by: str
    generation: int
    #: What a delay, and an interval without an anchor, count from.
    anchored_at: datetime
    #: The first fire time that has not been fired; kept while paused, so that the gap can be recorded.
    next_fire_at: datetime | None
    #: How many runs its schedule has made since it was anchored.
    fired: int = 0
    #: The regular fire time that was moved last, which does not fire itself; None: there was none.
    overrides_at: datetime | None = None
    #: When it fires in its place, or has fired.
    moved_to_at: datetime | None = None
    #: Made or changed with `PUT`: kept when it has ended.
    declared: bool = False
    last_run: LastRun | None
    last_success_at: datetime | None
    consecutive_failures: int
    kv_revision: int
    created_at: datetime
    updated_at: datetime
    #: The trace context of the request that registered it last, which its scheduled runs get.
    traceparent: str | None = None

    @property
    def anchor(self) -> Anchor:
        """What its fire times are computed from, beside the schedule."""
        return Anchor(self.anchored_at, self.name)

    @property
    def next_fire(self) -> NextFire:
        """When it fires next, with the fire time that was moved last."""
        return NextFire.of(self.next_fire_at, self.overrides_at, self.moved_to_at)
