"""A badge: a few words about a task, and their colour. Pure; the time is an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, assert_never

from rota.domain.stats.report import Report
from rota.domain.tasks.definition import TaskStatus

#: A fire time that has no run after this long is late; firing takes milliseconds.
LATE_AFTER = timedelta(minutes=1)
#: What `metric=completeness` is about.
COMPLETENESS_OF = timedelta(days=30)
_GOOD, _FAIR = 0.999, 0.95


class BadgeMetric(StrEnum):
    """What a badge shows."""

    STATE = "state"
    COMPLETENESS = "completeness"


class Colour(StrEnum):
    """Colours that white text can be read on (contrast of 4.5 and more)."""

    GREEN = "#1a7f37"
    AMBER = "#9a6700"
    RED = "#c6252f"
    GREY = "#57606a"
    BLUE = "#0969da"


class Badge(NamedTuple):
    """The content of a badge: the state of a task in a word."""

    label: str
    message: str
    colour: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """What the state of a task follows from."""

    name: str
    status: TaskStatus
    next_fire_at: datetime | None
    consecutive_failures: int
    last_success_at: datetime | None
    is_held: bool
    #: An alert of it is raised: it is late, or was not heard of in time.
    is_overdue: bool


def state_badge(task: TaskState, now: datetime) -> Badge:
    """Return the badge of the state of a task: what keeps it from running comes before how it ran."""
    return Badge(task.name, *_state(task, now))


def completeness_badge(name: str, report: Report) -> Badge:
    """Return the badge of the completeness of a task, rounded down: `100 %` is all of them."""
    found = report.completeness()
    label = f"{name} completeness"
    if found.ratio is None:
        return Badge(label, "no fire times", Colour.GREY)
    about = "" if report.exact and report.complete_since is None else "≈ "
    ratio = found.ratio
    colour = Colour.GREEN if ratio >= _GOOD else Colour.AMBER if ratio >= _FAIR else Colour.RED
    return Badge(label, f"{about}{int(ratio * 1000) / 10:g} %", colour)


def _state(task: TaskState, now: datetime) -> tuple[str, Colour]:
    match task.status:
        case TaskStatus.CANCELLED:
            return "cancelled", Colour.GREY
        case TaskStatus.PAUSED:
            return "paused", Colour.GREY
        case TaskStatus.ACTIVE | TaskStatus.COMPLETED:
            return _running_state(task, now)
        case _:
            assert_never(task.status)


def _running_state(task: TaskState, now: datetime) -> tuple[str, Colour]:
    is_active = task.status is TaskStatus.ACTIVE
    if is_active and task.is_held:
        return "held", Colour.BLUE
    if task.consecutive_failures:
        return "failing", Colour.RED
    late = task.next_fire_at is not None and task.next_fire_at < now - LATE_AFTER
    if is_active and (late or task.is_overdue):
        return "late", Colour.AMBER
    if task.last_success_at is not None:
        return "passing", Colour.GREEN
    return "no runs", Colour.GREY
