"""Backfills: fire times of a span that are run again, a few at a time. Pure; the time is an argument."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice, takewhile

from rota.domain.fire_time import TICK
from rota.domain.primitives.ids import Id
from rota.domain.primitives.times.instants import format_instant
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Planned
from rota.domain.schedules.running_times import running_times
from rota.domain.step_budget import limited_to
from rota.errors import Fault, Invalid, TooCostly

#: How many fire times one backfill runs at the most.
MOST_FIRE_TIMES = 100_000
#: How many it steps through at the most, where members of `any_of` come together or the rule leaves times out.
MOST_STEPS = 5 * MOST_FIRE_TIMES
#: How many fire times a dry run shows.
SHOWN = 100

_SMALLEST_WINDOW = timedelta(seconds=1)
# A window with more fire times than this is followed by a smaller one.
_MANY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A schedule, and the part of it that is meant: from `starts_at` to `ends_at`, both included."""

    schedule: Planned
    anchor: Anchor
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a backfill will do: how many fire times there are, and the first of them in its order."""

    runs: int
    shown: tuple[datetime, ...]

    @property
    def first(self) -> datetime | None:
        """The fire time that is run first, if there is any."""
        return self.shown[0] if self.shown else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """A backfill as it stands."""

    id: Id
    task: str
    task_id: Id
    span: Span
    newest_first: bool
    max_concurrent: int
    spacing: timedelta
    #: How many fire times it has, and how many of them have been made runs.
    runs: int
    made: int
    #: The fire time that is made a run next.
    next_at: datetime | None
    #: Before then the next run does not start (`spacing`).
    not_before: datetime | None
    created_at: datetime
    created_by: str
    finished_at: datetime | None
    #: The trace context of the request, which its runs get.
    traceparent: str | None = None


def survey(span: Span, *, newest_first: bool) -> Survey:
    """Count the fire times of a span that can be run; raises Invalid if there are too many, or what the rule raises."""
    reached = span.starts_at
    first: list[datetime] = []
    last: deque[datetime] = deque(maxlen=SHOWN)
    runs = 0
    try:
        with limited_to(MOST_STEPS):
            for reached in _times(span, span.starts_at):
                runs += 1
                if runs > MOST_FIRE_TIMES:
                    raise _too_many(reached)
                last.append(reached)
                if len(first) < SHOWN:
                    first.append(reached)
    except TooCostly as error:
        raise _too_costly(reached) from error
    return Survey(runs=runs, shown=tuple(reversed(last)) if newest_first else tuple(first))


def times_from(
    span: Span, at: datetime, *, newest_first: bool, expected: int = 1
) -> Iterator[datetime]:
    """Yield the fire time `at` and those that come after it in the order of a backfill.

    `expected` is about how many fire times the span has, so that going backwards takes steps of a suitable size.
    """
    if newest_first:
        return chain([at], _backwards(span, at, (span.ends_at - span.starts_at) / max(expected, 1)))
    return chain([at], islice(_times(span, at), 1, None))


def _times(span: Span, starts_at: datetime) -> Iterator[datetime]:
    """Yield the fire times that the rule lets run, from `starts_at` to the end of the span."""
    times = running_times(span.schedule, span.anchor, starts_at - TICK)
    return takewhile(lambda at: at <= span.ends_at, times)


def _backwards(span: Span, before: datetime, window: timedelta) -> Iterator[datetime]:
    """Yield the fire times before `before`, the latest first.

    Rules are only read forwards, so this reads one window after another; a window in which nothing falls is followed by
    one of twice its length, so that a long pause in the rule takes few of them.
    """
    window = max(window, _SMALLEST_WINDOW)
    while before > span.starts_at:
        begins = max(span.starts_at, before - window)
        found = list(_until(_times(span, begins), before))
        yield from reversed(found)
        if not found:
            window *= 2
        elif len(found) > _MANY:
            window = max(window / 2, _SMALLEST_WINDOW)
        before = begins


def _until(times: Iterator[datetime], end: datetime) -> Iterator[datetime]:
    for at in times:
        if at >= end:
            return
        yield at


def _too_many(reached: datetime) -> Invalid:
    detail = (
        f"the span holds more than {MOST_FIRE_TIMES:,} fire times (that many by {format_instant(reached)}); "
        "give a shorter one"
    )
    return Invalid(f"/to: {detail}.", Fault("/to", detail))


def _too_costly(reached: datetime) -> Invalid:
    detail = (
        f"the fire times of the span take more than {MOST_STEPS:,} steps to find (that many by "
        f"{format_instant(reached)}): members of any_of that come together, or times that are left out, count as well; "
        "give a shorter one"
    )
    return Invalid(f"/to: {detail}.", Fault("/to", detail))
