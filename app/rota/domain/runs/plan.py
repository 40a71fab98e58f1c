"""Plans: the facts of a due task, and the runs that planning makes of its fire times."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rota.domain.holds.held import Holds, HoldsVersion
from rota.domain.holds.model import Hold
from rota.domain.policies import CatchUp, MisfirePolicy, OverlapPolicy
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.reasons import SkipReason
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Planned
from rota.domain.schedules.fire_times import fires_after_finish
from rota.domain.schedules.replanning.moved_fire_time import Move, NextFire
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.tasks.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The pause that a task was resumed from: `catch_up` applies to the fire times up to `until`."""

    until: datetime
    catch_up: CatchUp = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSpan:
    """The skipped run that represents a task's latest fire times; the next of the same reason are added to it."""

    run_id: Id
    reason: SkipReason


@value_class(kw_only=True)
class DueTask:
    """The facts of a task whose `next_fire_at` has come, as planning needs them."""

    id: Id
    name: str
    generation: int
    definition: TaskDefinition
    #: The text of the column.
    input: str
    anchored_at: datetime
    next_fire_at: datetime
    #: Runs that the schedule has made since it was anchored.
    fired: int = 0
    #: The regular fire time that the moved one at `moved_to_at` represents.
    overrides_at: datetime | None = None
    moved_to_at: datetime | None = None
    gap: Gap | None = None
    open_span: OpenSpan | None = None
    #: The holds that select it and cover a time from `next_fire_at` on.
    holds: tuple[Hold, ...] = ()
    #: The version of all holds that these were chosen from.
    holds_version: HoldsVersion | None = None
    traceparent: str | None = None
    #: The revision of all calendars that the schedule has its days of; None: it has none.
    calendars: Id | None = None
    #: The run that registered it, before its first run.
    registered_by: Id | None = None

    @classmethod
    def of(cls, task: Task, input: str) -> "DueTask":
        """Return what planning needs of a task that has a next fire time; `input`: the text of the column."""
        return cls(
            id=task.id,
            name=task.name,
            generation=task.generation,
            definition=task.definition,
            input=input,
            anchored_at=task.anchored_at,
            next_fire_at=task.next_fire_at or task.anchored_at,
            fired=task.fired,
            overrides_at=task.overrides_at,
            moved_to_at=task.moved_to_at,
            traceparent=task.traceparent,
        )

    def under(self, holds: Holds) -> "DueTask":
        """Return it with those of the holds that select it."""
        definition = self.definition
        chosen = holds.of(self.name, definition.queue, definition.tags)
        return replace(self, holds=chosen, holds_version=holds.version)

    @property
    def schedule(self) -> Planned:
        return self.definition.schedule

    @property
    def misfire_policy(self) -> MisfirePolicy:
        return self.definition.misfire_policy

    @property
    def misfire_grace(self) -> timedelta | None:
        return self.definition.misfire_grace

    @property
    def overlap_policy(self) -> OverlapPolicy:
        return self.definition.overlap_policy

    @property
    def anchor(self) -> Anchor:
        """What the fire times are computed from besides the rule."""
        return Anchor(self.anchored_at, self.name)

    @property
    def move(self) -> Move | None:
        """The fire time that was moved by hand, unless everything is regular from `next_fire_at` on."""
        move = NextFire.of(self.next_fire_at, self.overrides_at, self.moved_to_at).move
        return None if move is None or move.ends_before(self.next_fire_at) else move

    @property
    def fires_after_finish(self) -> bool:
        """Whether the next fire time counts from the end of the run."""
        return fires_after_finish(self.schedule)


@value_class(kw_only=True)
class PlannedRun:
    """A run to be inserted: one fire time, or a skipped span of them."""

    scheduled_for: datetime
    scheduled_until: datetime | None = None
    count: int = 1
    status: RunStatus = RunStatus.QUEUED
    reason: SkipReason | None = None
    #: Given to a span that later ones may be added to.
    id: Id | None = None


@value_class(kw_only=True)
class Plan:
    """The runs of one firing of a task, and its next fire time."""

    runs: tuple[PlannedRun, ...]
    #: None: nothing is left to fire, or (`fixed_delay`) the end of the run decides.
    next_fire_at: datetime | None
    completed: bool
    #: What is left of the gap of a pause, where one plan did not get through it.
    gap: Gap | None = None
    #: The next fire time is held: its fate is not decided before this time.
    deferred_until: datetime | None = None

    @property
    def fired(self) -> int:
        """How many of the runs are to be executed."""
        return sum(run.status is RunStatus.QUEUED for run in self.runs)

    @property
    def leaves_open(self) -> bool:
        """Whether the last of the runs is a span that what is skipped next is added to."""
        return bool(self.runs) and self.runs[-1].status is RunStatus.SKIPPED
