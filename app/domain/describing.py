"""Schedules in plain English, for previews."""

from collections.abc import Iterator
from typing import assert_never

from app.domain import english
from app.domain.calendars import LEAP_DAY, SHORTEST_MONTH, WEEKDAYS
from app.domain.cron_english import describe_cron
from app.domain.exclusions import Dates, Instants
from app.domain.instants import parse_instant, parse_local
from app.domain.rules import Dst
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

# More exclusions than these are only counted.
_MOST_EXCLUSIONS = 3


def describe(schedule: Planned) -> str:
    """Return when a schedule fires, as a sentence without its full stop."""
    text = ", ".join([_rule(schedule), *_limits(schedule)])
    return text[:1].upper() + text[1:]


def _rule(schedule: Planned) -> str:
    match schedule:
        case Once():
            return _once(schedule)
        case Interval():
            return _interval(schedule)
        case Cron():
            return f"{describe_cron(schedule.expression)}, {schedule.timezone}"
        case Calendar():
            return f"{_calendar(schedule)}, {schedule.timezone}"
        case AnyOf():
            return "; or ".join(_member(each) for each in schedule.schedules)
        case _:
            return _unscheduled(schedule)


def _unscheduled(schedule: After | Manual | Unreadable) -> str:
    match schedule:
        case After():
            return _after(schedule)
        case Manual():
            return "only when it is told to run"
        case Unreadable():
            return "this schedule cannot be read"
        case _:
            assert_never(schedule)


def _member(member: Planned) -> str:
    text = describe(member)
    return text[:1].lower() + text[1:]


def _once(once: Once) -> str:
    if once.delay is not None:
        return f"once, {english.duration(once.delay)} after the registration"
    at = once.at or ""
    if once.timezone is None:
        return f"once, on {english.moment(parse_instant(at))}"
    local = parse_local(at)
    when = f"{english.day_of(local)} at {english.time_of(local)}"
    return f"once, on {when}, {once.timezone}"


def _interval(interval: Interval) -> str:
    if interval.mode == "fixed_delay":
        return f"{english.duration(interval.every)} after the end of each run{_first(interval)}"
    text = english.every(interval.every)
    if interval.flex is not None:
        text += f", at some point in the last {english.duration(interval.flex)} of each period"
    return text + _first(interval)


def _first(interval: Interval) -> str:
    if interval.anchor is not None:
        return f", counted from {english.moment(interval.anchor)}"
    if interval.initial_delay is not None:
        since = english.duration(interval.initial_delay)
        what = "counted from" if interval.flex is not None else "for the first time"
        return f", {what} {since} after the registration"
    return ""


def _calendar(calendar: Calendar) -> str:
    days = calendar.day if isinstance(calendar.day, tuple) else (calendar.day,)
    period = (
        calendar.unit if calendar.step == 1 else f"{english.nth(calendar.step)} {calendar.unit}"
    )
    match calendar.unit:
        case "day":
            number = "every day" if calendar.step == 1 else f"every {calendar.step} days"
            return f"at {calendar.time} {number}"
        case "week":
            named = english.numbers({WEEKDAYS.index(day) for day in days}, english.WEEK)
            return f"at {calendar.time} on {named} of every {period}"
        case "month":
            named = english.and_list([_day_of_month(day) for day in days])
            missing = any(isinstance(day, int) and day > SHORTEST_MONTH for day in days)
            return f"at {calendar.time} on {named} of every {period}{_missing(calendar, missing)}"
        case "year":
            named = english.and_list([_day_of_year(day) for day in days])
            return f"at {calendar.time} on {named} of every {period}{_missing(calendar, LEAP_DAY in days)}"


def _day_of_month(day: int | str) -> str:
    return "the last day" if isinstance(day, str) else f"the {english.nth(day)}"


def _day_of_year(day: str) -> str:
    return f"{int(day[3:])} {english.MONTHS[int(day[:2]) - 1]}"


def _missing(calendar: Calendar, missing: bool) -> str:  # noqa: FBT001  # what it is about
    if not missing:
        return ""
    return " or else on the last of its month" if calendar.missing_day == "last" else " that has it"


def _after(after: After) -> str:
    tasks = english.and_list(list(after.tasks))
    has = "has" if len(after.tasks) == 1 else "have"
    if after.on == ("succeeded",):
        return f"after {tasks} {has} succeeded"
    return f"after {tasks} {has} ended as {english.and_list(list(after.on), 'or')}"


def _limits(schedule: Planned) -> Iterator[str]:
    if isinstance(schedule, Manual | Unreadable):
        return
    if schedule.start_at is not None:
        yield f"from {english.moment(schedule.start_at)}"
    if schedule.end_at is not None:
        yield f"until {english.moment(schedule.end_at)}"
    if schedule.max_runs is not None:
        yield f"{english.plural(schedule.max_runs, 'run')} at the most"
    if not isinstance(schedule, After):
        yield from _changes(schedule)


def _changes(schedule: Once | Interval | Cron | Calendar | AnyOf) -> Iterator[str]:
    if schedule.jitter is not None:
        yield f"each moved forward by less than {english.duration(schedule.jitter)}"
    if schedule.exclude is not None:
        yield _exclusions(schedule.exclude)
    if isinstance(schedule, Once | Cron | Calendar) and schedule.dst is not None:
        yield from _dst(schedule.dst)


def _exclusions(exclude: tuple[Dates | Instants, ...]) -> str:
    if len(exclude) > _MOST_EXCLUSIONS:
        return f"except on {len(exclude)} dates and spans"
    return f"except {english.and_list([_exclusion(each) for each in exclude])}"


def _exclusion(exclusion: Dates | Instants) -> str:
    if isinstance(exclusion, Instants):
        return f"from {english.moment(exclusion.start)} until {english.moment(exclusion.end)}"
    first, last = (english.day_of(each) for each in (exclusion.first, exclusion.last))
    return f"on {first}" if first == last else f"from {first} to {last}"


def _dst(dst: Dst) -> Iterator[str]:
    if dst.gap == "skip":
        yield "not where the clocks go forward over it"
    if dst.gap == "shift":
        yield "later where the clocks go forward over it"
    if dst.fold == "both":
        yield "twice where the clocks go back over it"
    if dst.fold == "first":
        yield "once where the clocks go back over it"
