"""Lint: what of a schedule may not be meant. Each finding says what happens, and what to do about it.

What follows from the rule alone is looked for once a day for each rule, so that a registration costs hardly more.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice, pairwise, takewhile

from app.domain import cron, english
from app.domain.calendars import LEAP_DAY, SHORTEST_MONTH
from app.domain.clock_changes import clock_changes
from app.domain.constraints import Constraint
from app.domain.findings import Finding
from app.domain.fire_times import Anchor, fire_times, fires_after_finish
from app.domain.instants import format_instant
from app.domain.policies import OverlapPolicy, SkipReason
from app.domain.schedules import (
    After,
    AnyOf,
    Calendar,
    Cron,
    Interval,
    Manual,
    Once,
    Planned,
    Unreadable,
)
from app.domain.tasks import DEFAULT_TIMEOUT, TaskDefinition
from app.domain.zone_names import offset_said_by, opposite

_DAY = timedelta(days=1)
_ALMOST_A_DAY, _HOUR, _SECOND = timedelta(hours=22), timedelta(hours=1), timedelta(seconds=1)
# So many fire times, of so long a time, tell how close together they come.
_MOST_LOOKED_AT = 8
_LOOKED_AT = timedelta(days=62)
# Of the times that are left out not more than these are counted.
_MOST_COUNTED = 1_000
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SURE = (31, 28, *_LONGEST[2:])
_AT_THE_END = re.compile(r"(29|30|31)(-(29|30|31))?", re.ASCII)
_STEP = re.compile(r"\*/(\d+)", re.ASCII)
_OVERLAPS = {
    OverlapPolicy.SKIP: "fire times that come meanwhile are skipped",
    OverlapPolicy.BUFFER: "runs then queue up behind each other",
    OverlapPolicy.ALLOW: "runs then go on beside each other",
    OverlapPolicy.REPLACE: "each fire time then cancels the run before it",
}


def lint(
    schedule: Planned, anchored_at: datetime, upcoming: Sequence[datetime], now: datetime
) -> list[Finding]:
    """Return what of a schedule may not be meant, at `now` (UTC).

    `anchored_at` is when it was registered; `upcoming` are its next fire times that run. Raises Unplannable, as
    computing those does.
    """
    found = list(_of_rule(schedule, now.date(), _phase(schedule, anchored_at)))
    found += _reversed_offsets(schedule)
    if isinstance(schedule, Once) and upcoming and upcoming[0] < now:
        at = upcoming[0]
        found.insert(
            0, Finding("in_the_past", f"{format_instant(at)} has passed; the task runs at once", at)
        )
    if not upcoming and not _waits_for_something(schedule):
        found.insert(0, _never(schedule))
    return found


def lint_definition(
    definition: TaskDefinition,
    anchored_at: datetime,
    upcoming: Sequence[datetime],
    now: datetime,
) -> list[Finding]:
    """Return what of a task's definition may not be meant: its schedule, and how that goes with its policies."""
    found = lint(definition.schedule, anchored_at, upcoming, now)
    for number, constraint in enumerate(definition.constraints):
        found += _reversed_offset(constraint, f"/constraints/{number}: ")
    # The default says nothing of how long a run may be expected to take.
    chosen = definition.timeout != DEFAULT_TIMEOUT
    if chosen and definition.timeout > _surely_apart(definition.schedule):
        gap = _shortest_gap(definition.schedule, now.date())
        if gap is not None and definition.timeout > gap:
            found.append(_takes_longer(definition, gap))
    return found


def left_out(schedule: Planned, anchor: Anchor, upcoming: Sequence[datetime]) -> list[Finding]:
    """Return the finding that fire times before the last of `upcoming` are excluded, if some are."""
    if isinstance(schedule, After | Manual | Unreadable) or not upcoming:
        return []
    near = islice(fire_times(schedule, anchor, anchor.at), _MOST_COUNTED)
    times = takewhile(lambda each: each.at < upcoming[-1], near)
    out = [each.at for each in times if each.skip is SkipReason.EXCLUDED]
    if not out:
        return []
    message = (
        f"{english.plural(len(out), 'fire time')} before the last one shown {'is' if len(out) == 1 else 'are'} left "
        "out by 'exclude'; what is left out is told as a skipped run, reason excluded."
    )
    return [Finding("excluded", message, out[0])]


def _reversed_offsets(schedule: Planned) -> Iterator[Finding]:
    """Yield a finding for each zone whose name says the opposite of what it is."""
    if not isinstance(schedule, AnyOf):
        yield from _reversed_offset(schedule)
        return
    for number, member in enumerate(schedule.schedules):
        yield from _reversed_offset(member, f"/schedules/{number}: ")


def _reversed_offset(of: Planned | Constraint, where: str = "") -> Iterator[Finding]:
    name = getattr(of, "timezone", None)
    if name is not None and (offset := offset_said_by(name)) is not None:
        seems = opposite(name)
        yield Finding(
            "reversed_offset",
            f"{where}The time zone {name!r} is {offset}: in these names a plus stands for west of Greenwich. "
            f"If the opposite is meant, write {seems!r}, or better the name of the place, such as 'Europe/Berlin'.",
        )


def handler_missing(handler: str) -> Finding:
    """Return the finding that no live replica knows a handler."""
    return Finding(
        "handler_missing",
        f"No live replica knows the handler {handler!r}: runs wait (blocked, handler) until one does. "
        "Start a replica with its code, or see GET /v1/handlers for the others.",
    )


def _phase(schedule: Planned, anchored_at: datetime) -> datetime | None:
    """Return when the rule was registered, if what it tells depends on that: else one answer serves many tasks."""
    members = schedule.schedules if isinstance(schedule, AnyOf) else (schedule,)
    stepped = any(isinstance(each, Calendar) and each.step > 1 for each in members)
    return anchored_at if stepped else None


def _waits_for_something(schedule: Planned) -> bool:
    return isinstance(schedule, After | Manual | Unreadable) or fires_after_finish(schedule)


def _never(schedule: Planned) -> Finding:
    end_at = None if isinstance(schedule, Manual | Unreadable) else schedule.end_at
    why = "" if end_at is None else f" It ends on {english.moment(end_at)}."
    return Finding(
        "never_fires",
        "No fire time is left: the rule has none ahead, or all of them are left out by its bounds and exclusions."
        f"{why} Change those, or run it by hand.",
    )


def _takes_longer(definition: TaskDefinition, gap: timedelta) -> Finding:
    policy = definition.overlap_policy
    return Finding(
        "timeout_longer_than_interval",
        f"A run may take {english.duration(definition.timeout)} (timeout), and fire times come "
        f"{english.duration(gap)} apart; as overlap_policy is {policy}, {_OVERLAPS[policy]}. "
        "If that is not meant, give a shorter timeout or another overlap_policy.",
    )


@lru_cache(maxsize=4096)
def _of_rule(schedule: Planned, day: date, phase: datetime | None) -> tuple[Finding, ...]:
    """Return what the rule alone tells, as seen from `day`."""
    anchored_at = phase or datetime.combine(day, time(), UTC)
    match schedule:
        case Cron():
            return (*_cron(schedule), *clock_changes(schedule, day, anchored_at))
        case Interval():
            return tuple(_interval(schedule))
        case Calendar():
            return (*_calendar(schedule), *clock_changes(schedule, day, anchored_at))
        case Once():
            return tuple(clock_changes(schedule, day, anchored_at))
        case AnyOf():
            return tuple(_of_members(schedule, day, phase))
        case _:
            return ()


def _of_members(schedule: AnyOf, day: date, phase: datetime | None) -> Iterator[Finding]:
    for index, member in enumerate(schedule.schedules):
        for found in _of_rule(member, day, phase):
            yield Finding(found.code, f"/schedules/{index}: {found.message}", found.at)


def _surely_apart(schedule: Planned) -> timedelta:
    """Return how far apart the fire times of a rule surely are, as far as a glance at it tells."""
    match schedule:
        case Interval():
            return schedule.every
        case Calendar():
            return _ALMOST_A_DAY
        case Cron():
            fields = cron.fields(schedule.expression)
            return _HOUR if len(fields.minutes) == len(fields.seconds) == 1 else timedelta()
        case _:
            return timedelta()


@lru_cache(maxsize=4096)
def _shortest_gap(schedule: Planned, day: date) -> timedelta | None:
    """Return how close together the next fire times come, as the rule has them; None: there are not two of them."""
    if _waits_for_something(schedule) or isinstance(schedule, Once):
        return None
    plain = schedule.model_copy(update={"jitter": None, "exclude": None})
    begin = datetime.combine(day, time(), UTC)
    near = takewhile(
        lambda each: each.at < begin + _LOOKED_AT, fire_times(plain, Anchor(begin), begin)
    )
    times = islice(near, _MOST_LOOKED_AT)
    return min((later.at - earlier.at for earlier, later in pairwise(times)), default=None)


def _every_second(advice: str) -> Finding:
    return Finding("every_second", f"It fires every second, up to 86,400 times a day. {advice}")


def _cron(schedule: Cron) -> Iterator[Finding]:
    minute, hour, day, _, weekday = cron.MACROS.get(
        schedule.expression, schedule.expression
    ).split()[-5:]
    fields = cron.fields(schedule.expression)
    yield from _both_day_fields(day, weekday)
    if weekday == "*" and any(_AT_THE_END.fullmatch(term) for term in day.split(",")):
        yield from _month_end(
            {each for each in fields.days if each > SHORTEST_MONTH}, fields.months
        )
    if any(second + 1 in fields.seconds for second in fields.seconds):
        yield _every_second("Of 6 fields the first is the seconds: give 0 there for once a minute.")
    yield from _uneven(minute, fields.minutes, 60, "minute", "hour")
    yield from _uneven(hour, fields.hours, 24, "hour", "day")


def _both_day_fields(day: str, weekday: str) -> Iterator[Finding]:
    if "*" in {day, weekday}:
        return
    if day.startswith("*") or weekday.startswith("*"):
        how = "fires on days that fit both, because one of them begins with '*'"
    else:
        how = "fires on days that fit either of them, not on those that fit both"
    yield Finding(
        "both_day_fields",
        f"Both the day of the month ({day}) and the weekday ({weekday}) are restricted: as with crontab, it {how}. "
        "If that is not meant, give '*' for one of them; 'MON#1' is the first Monday of a month.",
    )


def _month_end(days: set[int], months: frozenset[int]) -> Iterator[Finding]:
    lacking = {month - 1 for month in months if _SURE[month - 1] < max(days)}
    if lacking:
        yield Finding(
            "month_end",
            f"Not every month has a day {max(days)}: nothing fires for it in {_months(lacking, max(days))}. "
            "'L' is the last day of each month.",
        )


def _months(lacking: set[int], day: int) -> str:
    named = english.numbers(lacking, english.MONTHS)
    return f"{named} (but in leap years)" if lacking == {1} and day == _LONGEST[1] else named


def _calendar(schedule: Calendar) -> Iterator[Finding]:
    if schedule.missing_day != "skip":
        return
    days = schedule.day if isinstance(schedule.day, tuple) else (schedule.day,)
    late = {day for day in days if isinstance(day, int) and day > SHORTEST_MONTH}
    advice = "missing_day: last takes the last day of the month instead."
    if late:
        lacking = {month for month in range(12) if _SURE[month] < max(late)}
        yield Finding(
            "month_end",
            f"Not every month has a day {max(late)}: nothing fires for it in {_months(lacking, max(late))}. {advice}",
        )
    if LEAP_DAY in days:
        yield Finding(
            "month_end", f"Only leap years have a 29 February: it fires every four years. {advice}"
        )


def _uneven(
    written: str, values: frozenset[int], size: int, unit: str, whole: str
) -> Iterator[Finding]:
    """Yield that the step of a cron field does not come out even at the end of its hour or day."""
    stepped = _STEP.fullmatch(written)
    if stepped is None or size % int(stepped[1]) == 0 or len(values) == 1:
        return
    rest = size - max(values)
    yield Finding(
        "uneven_interval",
        f"'{written}' starts anew in each {whole}: after {unit} {max(values)} comes {unit} 0, only "
        f"{english.plural(rest, unit)} later. An interval keeps its step.",
    )


def _interval(schedule: Interval) -> Iterator[Finding]:
    every = schedule.every
    if every == _SECOND and not fires_after_finish(schedule):
        yield _every_second("A handler that waits for what it looks for costs less.")
    even = not every % _DAY if every > _DAY else not _DAY % every
    if even or fires_after_finish(schedule):
        return
    yield Finding(
        "uneven_interval",
        f"{english.duration(every)} do not divide the day: fire times come at other times of day each day. "
        "For fixed times of day use a cron or calendar schedule.",
    )
