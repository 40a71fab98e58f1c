"""Lint: warnings about schedules and definitions. Each finding says what happens, and what to do about it.

Findings of the rule alone are computed once a day for each rule, so that a registration costs hardly more.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from typing import assert_never

from rota.domain.constraints.definitions import Constraint
from rota.domain.cron import expression as cron
from rota.domain.lint.cron_steps import uneven_steps
from rota.domain.lint.dst_changes import clock_changes
from rota.domain.lint.month_ends import month_end_of_calendar, month_end_of_cron
from rota.domain.lint.spacing import size_of
from rota.domain.primitives.bounded_cache import bounded_cache
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.texts import english
from rota.domain.primitives.times.instants import format_instant
from rota.domain.reasons import SkipReason
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import After, AnyOf, Manual, Planned, Unreadable, leaves
from rota.domain.schedules.fire_times import fire_times, fires_after_finish
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.time_zones.names import actual_offset, opposite

_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_SECONDS = 60
# Of the times that are left out not more than these are counted.
_MOST_COUNTED = 1_000


def lint(
    schedule: Planned, anchored_at: datetime, upcoming: Sequence[datetime], now: datetime
) -> list[Finding]:
    """Return the warnings about a schedule, at `now` (UTC).

    `anchored_at` is when it was registered; `upcoming` are its next fire times that run. Raises Unplannable, as
    computing those does.
    """
    if not upcoming and not _waits_for_something(schedule):
        return [
            _never(schedule)
        ]  # what else there is to say of its fire times would say that there are some
    found = list(_of_rule(schedule, now.date(), phase_of(schedule, anchored_at)))
    found += _reversed_offsets(schedule)
    if isinstance(schedule, Once) and schedule.delay is None and upcoming and upcoming[0] < now:
        at = upcoming[0]
        found.insert(
            0, Finding("in_the_past", f"{format_instant(at)} has passed; the task runs at once", at)
        )
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
        "out by 'exclude'; excluded fire times are recorded as skipped runs, reason excluded."
    )
    return [Finding("excluded", message, out[0])]


def _reversed_offsets(schedule: Planned) -> Iterator[Finding]:
    """Yield a finding for each zone whose name says the opposite of what it is."""
    if not isinstance(schedule, AnyOf):
        yield from reversed_offset(schedule)
        return
    for number, member in enumerate(schedule.schedules):
        yield from reversed_offset(member, f"/schedules/{number}: ")


def reversed_offset(of: Planned | Constraint, where: str = "") -> Iterator[Finding]:
    """Yield the finding that the name of a time zone says the opposite of what it is; `where` is a pointer."""
    name = getattr(of, "timezone", None)
    if name is not None and (offset := actual_offset(name)) is not None:
        seems = opposite(name)
        yield Finding(
            "reversed_offset",
            f"{where}The time zone {name!r} is {offset}: in these names a plus means west of Greenwich. "
            f"If the opposite is meant, write {seems!r}, or better the name of the place, such as 'Europe/Berlin'.",
        )


def phase_of(schedule: Planned, anchored_at: datetime) -> datetime | None:
    """Return when the rule was registered, if its findings depend on that; None: they can be shared by tasks."""
    stepped = any(isinstance(each, Calendar) and each.step > 1 for each in leaves(schedule))
    return anchored_at if stepped else None


def _waits_for_something(schedule: Planned) -> bool:
    return isinstance(schedule, After | Manual | Unreadable) or fires_after_finish(schedule)


def _never(schedule: Planned) -> Finding:
    end_at = None if isinstance(schedule, Manual | Unreadable) else schedule.end_at
    why = "" if end_at is None else f" It ends on {english.moment(end_at)}."
    why += (
        f" It runs {english.plural(schedule.max_runs, 'time')} (max_runs)."
        if schedule.max_runs
        else ""
    )
    return Finding(
        "never_fires",
        "No fire time is left: the rule has none ahead, or all of them are left out by its bounds and exclusions."
        f"{why} Change those, or run it by hand.",
    )


def midnight(day: date) -> datetime:
    """Return the beginning of a day (UTC)."""
    return datetime.combine(day, time(), UTC)


def _size(schedule: Planned, *others: object) -> int:
    return size_of(schedule) + sum(size_of(each) for each in others if isinstance(each, AnyOf))


@bounded_cache(_size)
def _of_rule(
    schedule: Planned, day: date, phase: datetime | None, whole: AnyOf | None = None
) -> tuple[Finding, ...]:
    """Return the findings of the rule alone, as seen from `day`; `whole` is the `any_of` that it is a member of."""
    anchored_at = phase or midnight(day)
    match schedule:
        case Cron():
            return (
                *_cron(schedule, day),
                *clock_changes(schedule, day, anchored_at, whole),
            )
        case Interval():
            return tuple(_interval(schedule))
        case Calendar():
            return (
                *month_end_of_calendar(schedule, day, anchored_at),
                *clock_changes(schedule, day, anchored_at, whole),
            )
        case Once():
            return tuple(clock_changes(schedule, day, anchored_at, whole))
        case AnyOf():
            return tuple(_of_members(schedule, day, phase))
        case After() | Manual() | Unreadable():
            return ()
        case _:
            assert_never(schedule)


def _of_members(schedule: AnyOf, day: date, phase: datetime | None) -> Iterator[Finding]:
    for index, member in enumerate(schedule.schedules):
        ends = [each for each in (member.end_at, schedule.end_at) if each is not None]
        within = member.model_copy(update={"end_at": min(ends)}) if ends else member
        for found in _of_rule(within, day, phase, schedule):
            yield Finding(found.code, f"/schedules/{index}: {found.message}", found.at)


def _every_second(which: str, times: int, advice: str) -> Finding:
    return Finding(
        "every_second", f"It fires every second{which}, up to {times:,} times a day. {advice}"
    )


def _cron(schedule: Cron, day: date) -> Iterator[Finding]:
    fields = cron.fields(schedule.expression)
    day_field, _, weekday = cron.split(schedule.expression)[-3:]
    yield from _both_day_fields(day_field, weekday, fields)
    yield from month_end_of_cron(schedule, day)
    if len(fields.seconds) == _SECONDS:
        minutes = len(fields.minutes) * len(fields.hours)
        which = "" if minutes * _SECONDS * _SECOND == _DAY else " of the minutes that it names"
        advice = "Of 6 fields the first is the seconds: give 0 there for once a minute."
        yield _every_second(which, minutes * _SECONDS, advice)
    yield from uneven_steps(schedule.expression)


def _both_day_fields(day: str, weekday: str, fields: cron.Fields) -> Iterator[Finding]:
    """Yield how two day fields go together, unless one of them is there for nothing: a `*`, or another whole one."""
    whole = fields.any_day or fields.any_weekday
    if "*" in {day, weekday} or (whole and not fields.either_day):
        return
    if not fields.either_day:
        how = "fires on days that fit both, because one of them begins with '*'"
    elif whole:
        how = "fires every day: either of them is enough, one of them lets each day through, and none begins with '*'"
    else:
        how = "fires on days that fit either of them, not on those that fit both"
    yield Finding(
        "both_day_fields",
        f"Both the day of the month ({day}) and the weekday ({weekday}) are given: as with crontab, it {how}. "
        "If that is not meant, give '*' for one of them; 'MON#1' is the first Monday of a month.",
    )


def _interval(schedule: Interval) -> Iterator[Finding]:
    every = schedule.every
    if every == _SECOND and not fires_after_finish(schedule):
        yield _every_second(
            "",
            _DAY // _SECOND,
            "If it only looks whether something is there, one run that waits for it costs less.",
        )
    even = not every % _DAY if every > _DAY else not _DAY % every
    if even or fires_after_finish(schedule):
        return
    yield Finding(
        "uneven_interval",
        f"{english.duration(every)} do not divide the day: fire times come at other times of day each day. "
        "For fixed times of day use a cron or calendar schedule.",
    )
