"""Schedules as clients declare them. `fire_times` computes what they mean."""

from typing import Annotated, ClassVar, Literal, assert_never, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    field_validator,
)
from pydantic_core import PydanticCustomError

from rota.domain.primitives.texts.names import Name
from rota.domain.schedules.base import Bounded, ScheduleBase, Timed
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.schedules.suggestions import check_form

MOST_MEMBERS = 20
MOST_PREDECESSORS = 100

#: The final statuses of a run that an `after` schedule may wait for.
EndStatus = Literal["succeeded", "failed", "cancelled", "skipped"]
_END_STATUSES: tuple[EndStatus, ...] = get_args(EndStatus)
#: How the results of predecessors become part of the input.
Merge = Literal["by_task", "overwrite", "collect"]


def _may_be_member(member: Once | Interval | Cron | Calendar) -> Once | Interval | Cron | Calendar:
    if member.max_runs is not None:
        raise PydanticCustomError(
            "member", "'max_runs' goes on the whole, not on one of 'schedules'"
        )
    if isinstance(member, Interval) and member.mode == "fixed_delay":
        raise PydanticCustomError(
            "member", "a 'fixed_delay' depends on its own runs: it cannot be one of 'schedules'"
        )
    return member


Member = Annotated[
    Once | Interval | Cron | Calendar,
    Field(discriminator="type"),
    AfterValidator(_may_be_member),
    BeforeValidator(check_form),
]


class AnyOf(Timed):
    """Fires whenever one of several schedules does; at equal instants once."""

    type: Literal["any_of"]
    schedules: tuple[Member, ...] = Field(min_length=1, max_length=MOST_MEMBERS)


class After(Bounded):
    """No fire times: the task runs once each of `tasks` has finished a run since this task's last firing."""

    type: Literal["after"]
    tasks: tuple[Name, ...] = Field(
        min_length=1, max_length=MOST_PREDECESSORS, examples=[["extract", "transform"]]
    )
    on: tuple[EndStatus, ...] = Field(
        ("succeeded",),
        min_length=1,
        description="How their runs must have ended. Another end makes a skipped run, except for a success, which is "
        "the normal end.",
    )
    merge: Merge = Field(
        "by_task",
        description="How their results become part of the run's input: under `results`, by the task's name "
        "(`by_task`) or as a list (`collect`); or their fields over those of `input`, later ones last (`overwrite`). "
        "The runs themselves are under `runs`, by the task's name.",
    )

    @field_validator("tasks")
    @classmethod
    def _each_task_once(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tasks)) < len(tasks):
            raise PydanticCustomError("tasks", "name each task once")
        return tasks

    @field_validator("on")
    @classmethod
    def _each_status_once(cls, on: tuple[EndStatus, ...]) -> tuple[EndStatus, ...]:
        return tuple(status for status in _END_STATUSES if status in on)


class Manual(ScheduleBase):
    """No fire times: the task runs on request."""

    type: Literal["manual"]
    max_runs: ClassVar[int | None] = None


class Unreadable(ScheduleBase):
    """A stored schedule that this version cannot read; planning it raises Unplannable, which pauses the task."""

    type: Literal["unreadable"] = "unreadable"
    reason: str
    max_runs: ClassVar[int | None] = None


Schedule = Annotated[
    Once | Interval | Cron | Calendar | AnyOf | After | Manual,
    Field(discriminator="type"),
    BeforeValidator(check_form),
]


#: The schedules that a member of `any_of` may have, which have fire times of their own.
Leaf = Once | Interval | Cron | Calendar
#: The schedules that have fire times.
WithTimes = Leaf | AnyOf
Planned = WithTimes | After | Manual | Unreadable


def leaves(schedule: Planned) -> tuple[Leaf, ...]:
    """Return the schedules that have fire times of their own: the members of `any_of`, or the schedule itself."""
    match schedule:
        case AnyOf():
            return schedule.schedules
        case Once() | Interval() | Cron() | Calendar():
            return (schedule,)
        case After() | Manual() | Unreadable():
            return ()
        case _:
            assert_never(schedule)


def fires_unscheduled(schedule: Planned) -> bool:
    """Return whether a task can run without a fire time of its schedule, and so never completes."""
    match schedule:
        case Manual() | After():
            return True
        case Once() | Interval() | Cron() | Calendar() | AnyOf() | Unreadable():
            return False
        case _:
            assert_never(schedule)


def fires_on_request_only(schedule: Planned) -> bool:
    """Return whether only requests make runs, so that no pause and no hold keeps a fire time from running."""
    match schedule:
        case Manual():
            return True
        case Once() | Interval() | Cron() | Calendar() | AnyOf() | After() | Unreadable():
            return False
        case _:
            assert_never(schedule)


def recurs(schedule: Planned) -> bool:
    """Return whether a schedule has fire times of its own, and not just one."""
    match schedule:
        case AnyOf():
            return any(map(recurs, schedule.schedules))
        case Interval() | Cron() | Calendar():
            return True
        case Unreadable():  # taken for one, so that it is not forgotten
            return True
        case Once() | After() | Manual():
            return False
        case _:
            assert_never(schedule)
