"""Where a rule has times that a change of the clocks leaves out (a gap) or shows twice (a fold)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import takewhile

from app.domain import calendars, cron, english
from app.domain.cron_english import every_hour
from app.domain.exclusions import excluded
from app.domain.findings import Finding
from app.domain.instants import parse_local
from app.domain.schedules import Calendar, Cron, Once
from app.domain.zones import FIXED, Changes, LocalTimes, Stretch, stretch_at, zone

#: How far ahead is looked: a year and a month, so that no change of a year is missed.
AHEAD = timedelta(days=396)

_MOST_SHOWN = 3
_GAPS = {
    "shift": "they fire at {closes} instead (dst.gap: shift)",
    "skip": "they are told as skipped runs, reason dst_gap (dst.gap: skip)",
    "omit": "nothing fires for them, as with crontab (dst.gap: shift would fire once at {closes})",
}
_FOLDS = {
    "first": "they fire at the first of the two only (dst.fold: first)",
    "both": "they fire at both (dst.fold: both)",
}


@dataclass(frozen=True, slots=True)
class _Met:
    """A change of the clocks that times of the rule fall in: where, between which local times, and which times."""

    at: datetime
    day: date
    opens: datetime
    closes: datetime
    times: tuple[datetime, ...]


def clock_changes(
    schedule: Once | Cron | Calendar, day: date, anchored_at: datetime
) -> Iterator[Finding]:
    """Yield what the changes of the clocks in the year from `day` on do to a rule; at most one gap and one fold.

    `anchored_at` is when it was registered, which a `step` counts from. Nothing for a rule that fires in every hour: it
    follows the time that passes. Raises Unplannable.
    """
    if schedule.timezone in {None, "UTC"} or _follows_time(schedule):
        return
    zone_name = schedule.timezone or "UTC"
    begin = datetime.combine(day, time(), UTC)
    local_times = _local_times(schedule, anchored_at)
    met = [_meets(schedule, local_times, each) for each in _changes_of(zone_name, begin)]
    gaps = [each for is_gap, each in met if is_gap and each is not None]
    folds = [each for is_gap, each in met if not is_gap and each is not None]
    rule = _rule(schedule)
    if gaps:
        yield _gap(gaps, zone_name, rule.gap)
    if folds:
        yield _fold(folds, zone_name, rule.fold)


def _gap(met: list[_Met], zone_name: str, rule: str) -> Finding:
    first = met[0]
    happens = _GAPS[rule].format(closes=english.time_of(first.closes))
    message = (
        f"On {_days(met)} the clocks of {zone_name} go forward from {english.time_of(first.opens)} to "
        f"{english.time_of(first.closes)}, so these times do not come: {_times(first)}; {happens}. "
        "If that is not meant, choose another time, or a zone such as UTC."
    )
    return Finding("dst_gap", message, first.at)


def _fold(met: list[_Met], zone_name: str, rule: str) -> Finding:
    first = met[0]
    message = (
        f"On {_days(met)} the clocks of {zone_name} go back from {english.time_of(first.closes)} to "
        f"{english.time_of(first.opens)}, so these times come twice: {_times(first)}; {_FOLDS[rule]}. "
        "If that is not meant, choose another time, or a zone such as UTC."
    )
    return Finding("dst_fold", message, first.at)


def _days(met: list[_Met]) -> str:
    return english.and_list([each.day.isoformat() for each in met[:_MOST_SHOWN]])


def _times(met: _Met) -> str:
    shown = [english.time_of(at) for at in met.times[:_MOST_SHOWN]]
    return ", ".join(shown) + (", …" if len(met.times) > _MOST_SHOWN else "")


def _changes_of(zone_name: str, begin: datetime) -> Iterator[Stretch]:
    """Yield the stretches of a zone that begin with a change of its clocks, those of the next year."""
    at = begin
    while at < begin + AHEAD:
        stretch = stretch_at(zone_name, at)
        if stretch.start >= begin and stretch.before != stretch.offset:
            yield stretch
        at = stretch.end


def _meets(
    schedule: Once | Cron | Calendar, local_times: LocalTimes, change: Stretch
) -> tuple[bool, _Met | None]:
    """Return whether a change is a gap, and what of the rule falls in it, if anything does."""
    is_gap = change.before < change.offset
    at = change.start.replace(tzinfo=None)
    opens, closes = sorted((at + change.before, at + change.offset))
    times = tuple(takewhile(lambda each: each < closes, _some(local_times, opens)))
    if not times:
        return is_gap, None
    fires_at = change.start if is_gap else (times[0] - change.before).replace(tzinfo=UTC)
    if _is_left_out(schedule, fires_at):
        return is_gap, None
    return is_gap, _Met(fires_at, times[0].date(), opens, closes, times)


def _some(local_times: LocalTimes, start: datetime) -> Iterator[datetime]:
    for _, at in zip(range(_MOST_SHOWN + 1), local_times(start), strict=False):
        yield at


def _is_left_out(schedule: Once | Cron | Calendar, at: datetime) -> bool:
    early = schedule.start_at is not None and at < schedule.start_at
    late = schedule.end_at is not None and at > schedule.end_at
    leaves_out = schedule.exclude is not None and at in excluded(
        schedule.exclude, schedule.timezone or "UTC"
    )
    return early or late or leaves_out


def _local_times(schedule: Once | Cron | Calendar, anchored_at: datetime) -> LocalTimes:
    match schedule:
        case Cron():
            return partial(cron.local_times, schedule.expression)
        case Calendar():
            phase = (schedule.start_at or anchored_at).astimezone(zone(schedule.timezone))
            return partial(calendars.local_times, schedule.pattern, phase.date())
        case Once():
            at = parse_local(schedule.at or "")
            return lambda start: iter((at,) if at >= start else ())


def _rule(schedule: Once | Cron | Calendar) -> Changes:
    usual = cron.usual_changes(schedule.expression) if isinstance(schedule, Cron) else FIXED
    if schedule.dst is None:
        return usual
    return Changes(schedule.dst.gap or usual.gap, schedule.dst.fold or usual.fold)


def _follows_time(schedule: Once | Cron | Calendar) -> bool:
    return isinstance(schedule, Cron) and every_hour(cron.fields(schedule.expression))
