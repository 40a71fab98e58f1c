"""Schedules in plain English, for previews.

Tests read the sentences back and compare them with the fire times.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import assert_never

from rota.domain.cron.description import describe_cron
from rota.domain.primitives.texts import english
from rota.domain.primitives.times.instants import parse_instant, parse_local
from rota.domain.schedules.base import Dst
from rota.domain.schedules.calendar import LEAP_DAY, LONGEST_MONTH, SHORTEST_MONTH, WEEKDAYS
from rota.domain.schedules.definitions import (
    After,
    AnyOf,
    Manual,
    Planned,
    Unreadable,
    WithTimes,
    leaves,
)
from rota.domain.schedules.exclusions import AnyExclusion, InCalendar, Instants
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.time_zones.zone import changes_clocks, zone

# More exclusions than these are only counted.
_MOST_EXCLUSIONS = 3
# How statuses follow "has".
_ENDS = {"cancelled": "been cancelled", "skipped": "been skipped"}


def describe(schedule: Planned) -> str:
    """Return when a schedule fires, as a sentence without its full stop; raises Unplannable."""
    text = _whole(schedule)
    return text[:1].upper() + text[1:]


def _whole(schedule: Planned) -> str:
    limits = ", ".join(_limits(schedule))
    if not limits:
        return _rule(schedule)
    # What belongs to the whole must not read as if it belonged to the last member.
    between = "; all of it " if isinstance(schedule, AnyOf) else ", "
    return f"{_rule(schedule)}{between}{limits}"


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
            return "; and also ".join(_whole(each) for each in schedule.schedules)
        case _:
            return _unscheduled(schedule)


def _unscheduled(schedule: After | Manual | Unreadable) -> str:
    match schedule:
        case After():
            return _after(schedule)
        case Manual():
            return "only when run by hand"
        case Unreadable():
            return "this schedule cannot be read"
        case _:
            assert_never(schedule)


def _once(once: Once) -> str:
    if once.delay is not None:
        return f"once, {_since_registration(once.delay)}"
    at = once.at or ""
    if once.timezone is None:
        return f"once, on {english.moment(parse_instant(at))}"
    local = parse_local(at)
    when = f"{english.day_of(local)} at {english.time_of(local)}"
    return f"once, on {when}, {once.timezone}"


def _since_registration(delay: timedelta) -> str:
    return (
        f"{english.one_measure(delay)} after its registration" if delay else "at its registration"
    )


def _interval(interval: Interval) -> str:
    if interval.mode == "fixed_delay":
        since = english.one_measure(interval.every)
        return f"{since} after the end of each run, starting {_first(interval)}"
    text = english.every(interval.every)
    if interval.flex is None:
        return f"{text}, {_phase(interval)}"
    part = "" if interval.flex == interval.every else f"{english.last_of(interval.flex)} of "
    return f"{text}, at some point in {part}each period, {_counted(interval)}"


def _phase(interval: Interval) -> str:
    """Return what its fire times are counted from, or which one comes first."""
    return _counted(interval) if interval.initial_delay is None else f"starting {_first(interval)}"


def _first(interval: Interval) -> str:
    """Return when it fires for the first time; an anchor that has passed is a point of a grid."""
    if interval.anchor is not None:
        steps = f"a whole multiple of {english.one_measure(interval.every)}"
        return f"{steps} after {english.moment(interval.anchor)}"
    delay = interval.every if interval.initial_delay is None else interval.initial_delay
    return _since_registration(delay)


def _counted(interval: Interval) -> str:
    if interval.anchor is not None:
        return f"counted from {english.moment(interval.anchor)}"
    if interval.initial_delay:
        return f"counted from {_since_registration(interval.initial_delay)}"
    return "counted from its registration"


def _calendar(calendar: Calendar) -> str:
    return f"at {calendar.time} {_rate(calendar)}{_counted_period(calendar)}{_missing(calendar)}"


def _rate(calendar: Calendar) -> str:
    step, every_day = calendar.step, _every_day(calendar)
    if calendar.unit == "day":
        return "every day" if step == 1 else f"every {step} days"
    if every_day and step == 1:
        return "every day"
    period = calendar.unit if step == 1 else f"{english.nth(step)} {calendar.unit}"
    return f"{'on every day' if every_day else _days(calendar)} of every {period}"


def _every_day(calendar: Calendar) -> bool:
    """Return whether it fires on each day of its weeks or months."""
    whole = {"week": WEEKDAYS, "month": range(1, LONGEST_MONTH + 1)}.get(calendar.unit)
    return whole is not None and set(whole) <= set(calendar.days)


def _days(calendar: Calendar) -> str:
    days = calendar.days
    match calendar.unit:
        case "week":  # none of its days goes over into the next week, which may not count
            numbers = {WEEKDAYS.index(str(day)) for day in days}
            return english.placed(english.number_parts(numbers, english.WEEK), "on")
        case "month":
            numbered = english.days_of_month([day for day in days if isinstance(day, int)])
            return english.placed([*numbered, *(["the last day"] if "last" in days else [])], "on")
        case "year":
            return f"on {english.and_list([_day_of_year(str(day)) for day in days])}"
        case "day":
            raise AssertionError("every day has the time")
        case _:
            assert_never(calendar.unit)


def _day_of_year(day: str) -> str:
    return f"{int(day[3:])} {english.MONTHS[int(day[:2]) - 1]}"


def _counted_period(calendar: Calendar) -> str:
    """Return which of the periods the others are counted from, if not every one counts."""
    if calendar.step == 1:
        return ""
    if calendar.start_at is None:
        return f", counted from the {calendar.unit} of its registration"
    return (
        f", counted from {_period(calendar, calendar.start_at.astimezone(zone(calendar.timezone)))}"
    )


def _period(calendar: Calendar, day: date) -> str:
    match calendar.unit:
        case "day":
            return english.day_of(day)
        case "week":
            return f"the week of {english.day_of(day)}"
        case "month":
            return f"{english.MONTHS[day.month - 1]} {day.year}"
        case "year":
            return str(day.year)
        case _:
            assert_never(calendar.unit)


def _missing(calendar: Calendar) -> str:
    """Return how days are treated that some periods do not have; nothing if that does not matter."""
    days: Sequence[int | str] = () if _every_day(calendar) else calendar.days
    if calendar.unit == "month":
        late = [
            f"the {english.nth(day)}"
            for day in days
            if isinstance(day, int) and day > SHORTEST_MONTH
        ]
        last = "the last day"
    else:
        late = ["29 February"] if calendar.unit == "year" and LEAP_DAY in days else []
        last = "28 February"
    if not late:
        return ""
    named, them = english.and_list(late), "it" if len(late) == 1 else "them"
    where = f"in {calendar.unit}s without {them}"
    if calendar.missing_day == "last":
        return f", moving {named} to {last} {where}"
    return f", skipping {named} {where}"


def _after(after: After) -> str:
    tasks = english.and_list(list(after.tasks))
    has = "has" if len(after.tasks) == 1 else "have"
    return f"after {tasks} {has} {english.and_list([_ENDS.get(each, each) for each in after.on], 'or')}"


def _limits(schedule: Planned) -> Iterator[str]:
    if isinstance(schedule, Manual | Unreadable):
        return
    if schedule.start_at is not None:
        yield f"{_beginning(schedule)} {english.moment(schedule.start_at)}"
    if schedule.end_at is not None:
        yield f"until {english.moment(schedule.end_at)}"
    if schedule.max_runs is not None:
        total = " in total" if isinstance(schedule, AnyOf) else ""
        yield f"at most {english.plural(schedule.max_runs, 'run')}{total}"
    if not isinstance(schedule, After):
        yield from _changes(schedule)


def _beginning(schedule: Planned) -> str:
    """Intervals keep their phase: "from" would promise a fire time right there."""
    phased = any(isinstance(each, Interval) for each in leaves(schedule))
    return "not before" if phased else "from"


def _changes(schedule: WithTimes) -> Iterator[str]:
    if schedule.jitter is not None:
        each = "" if isinstance(schedule, Once | AnyOf) else "each "
        yield f"{each}delayed by less than {english.one_measure(schedule.jitter)}"
    zone_name = None if isinstance(schedule, Interval | AnyOf) else schedule.timezone
    if schedule.exclude:
        yield _exclusions(schedule.exclude, "" if zone_name else " (UTC)")
    dst = schedule.dst if isinstance(schedule, Once | Cron | Calendar) else None
    if dst is not None and zone_name is not None and changes_clocks(zone_name):
        yield from _dst(dst)


def _exclusions(exclude: tuple[AnyExclusion, ...], zone_note: str) -> str:
    if len(exclude) > _MOST_EXCLUSIONS:
        kinds = "dates and spans of time"
        if isinstance(exclude[-1], InCalendar):
            kinds = "dates, spans of time and calendars"
        return f"except on {len(exclude)} {kinds}"
    return f"except {english.and_list([_exclusion(each, zone_note) for each in exclude])}"


def _exclusion(exclusion: AnyExclusion, zone_note: str) -> str:
    if isinstance(exclusion, InCalendar):
        return f"on the days of the calendar {exclusion.name!r}{zone_note}"
    if isinstance(exclusion, Instants):
        return f"from {english.moment(exclusion.start)} until {english.moment(exclusion.end)}"
    first, last = (english.day_of(each) for each in (exclusion.first, exclusion.last))
    return f"{f'on {first}' if first == last else f'from {first} to {last}'}{zone_note}"


def _dst(dst: Dst) -> Iterator[str]:
    if dst.gap == "skip":
        yield "skipped when the clocks go forward over it"
    if dst.gap == "shift":
        yield "run right after the change when the clocks go forward over it"
    if dst.fold == "both":
        yield "run twice when the clocks go back over it"
    if dst.fold == "first":
        yield "run only once when the clocks go back over it"
