"""Warnings about local times that a change of the clocks leaves out (a gap) or repeats (a fold)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import islice, takewhile

from rota.domain.cron import expression as cron
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.texts import english
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import AnyOf
from rota.domain.schedules.exclusions import excluded
from rota.domain.schedules.fire_times import dst_rule, local_times
from rota.domain.schedules.rules import Calendar, Cron, Once
from rota.domain.time_zones.zone import Changes, Fold, Gap, LocalTimes, Stretch, stretch_at

#: How far ahead is looked: a year and a month, so that no change of a year is missed.
AHEAD = timedelta(days=396)

_Local = Once | Cron | Calendar

_MOST_SHOWN, _MINUTES, _DAY = 3, 60, timedelta(days=1)
_GAPS: dict[Gap, str] = {
    "shift": "they fire at {closes} instead (dst.gap: shift)",
    "skip": "they are recorded as one skipped run of {closes}, reason dst_gap (dst.gap: skip)",
    "omit": "nothing fires for them, as with crontab (dst.gap: shift would fire once at {closes})",
}
_FIRES_ANYWAY = "nothing fires for them but what fires at {closes} anyway"
_FOLDS: dict[Fold, str] = {
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
    #: The rule fires when the gap closes, whatever is in it.
    fires_anyway: bool = False


def clock_changes(
    schedule: _Local, day: date, anchored_at: datetime, whole: AnyOf | None = None
) -> Iterator[Finding]:
    """Yield what the changes of the clocks in the year from `day` on do to a rule; at most one gap and one fold.

    `anchored_at` is when it was registered, which a `step` counts from; `whole` is what it is a member of. Nothing of a
    change that the rule does not notice, because it follows the time that passes. Raises Unplannable.
    """
    if schedule.timezone in {None, "UTC"}:
        return
    zone_name = schedule.timezone or "UTC"
    begin = datetime.combine(day, time(), UTC)
    look = _Look(schedule, local_times(schedule, Anchor(anchored_at)), dst_rule(schedule), whole)
    met = [look.meets(each) for each in changes_of(zone_name, begin)]
    gaps = [each for is_gap, each in met if is_gap and each is not None]
    folds = [each for is_gap, each in met if not is_gap and each is not None]
    if gaps:
        yield _gap(gaps, zone_name, look.rule.gap)
    if folds:
        yield _fold(folds, zone_name, look.rule.fold)


def _gap(met: list[_Met], zone_name: str, rule: Gap) -> Finding:
    first = met[0]
    happens = (_FIRES_ANYWAY if first.fires_anyway else _GAPS[rule]).format(
        closes=english.time_of(first.closes)
    )
    message = (
        f"On {_days(met)} the clocks of {zone_name} go forward from {english.time_of(first.opens)} to "
        f"{english.time_of(first.closes)}, so these times do not come: {_times(first)}; {happens}. "
        "If that is not meant, choose another time, or a zone such as UTC."
    )
    return Finding("dst_gap", message, first.at)


def _fold(met: list[_Met], zone_name: str, rule: Fold) -> Finding:
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


def changes_of(zone_name: str, begin: datetime) -> Iterator[Stretch]:
    """Yield the stretches of a zone that begin with a change of its clocks, those of the next year."""
    at = begin
    while at < begin + AHEAD:
        stretch = stretch_at(zone_name, at)
        if stretch.start >= begin and stretch.before != stretch.offset:
            yield stretch
        at = stretch.end


@dataclass(frozen=True, slots=True)
class _Look:
    """A rule that is checked at changes of the clocks."""

    schedule: _Local
    local_times: LocalTimes
    rule: Changes
    whole: AnyOf | None

    def meets(self, change: Stretch) -> tuple[bool, _Met | None]:
        """Return whether a change is a gap, and what of the rule falls in it, if the rule notices that."""
        is_gap = change.before < change.offset
        at = change.start.replace(tzinfo=None)
        opens, closes = sorted((at + change.before, at + change.offset))
        inside = takewhile(lambda each: each < closes, self.local_times(opens))
        times = tuple(
            islice((each for each in inside if self._comes(each, change)), _MOST_SHOWN + 1)
        )
        if not times:
            return is_gap, None
        anyway = is_gap and next(self.local_times(closes), None) == closes
        if self._is_unnoticed(change, fires_anyway=anyway):
            return is_gap, None
        fires_at = change.start if is_gap else (times[0] - change.before).replace(tzinfo=UTC)
        return is_gap, _Met(fires_at, times[0].date(), opens, closes, times, anyway)

    def _comes(self, local: datetime, change: Stretch) -> bool:
        """Return whether bounds and exclusions leave what the rule does with a time that is in a gap or a fold."""
        if change.before < change.offset:
            return not self._is_left_out(change.start)
        first, second = (
            (local - offset).replace(tzinfo=UTC) for offset in (change.before, change.offset)
        )
        return not self._is_left_out(first) and not (
            self.rule.fold == "both" and self._is_left_out(second)
        )

    def _is_left_out(self, at: datetime) -> bool:
        wholes: tuple[_Local | AnyOf, ...] = (self.schedule,)
        return any(
            map(partial(_leaves_out, at), wholes if self.whole is None else (*wholes, self.whole))
        )

    def _is_unnoticed(self, change: Stretch, *, fires_anyway: bool) -> bool:
        """Return whether the fire times around a change come as if there were none: the rule is the same each hour."""
        if not isinstance(self.schedule, Cron):
            return False
        is_gap = change.before < change.offset
        left_alone = self.rule.gap == "omit" if is_gap else self.rule.fold == "both"
        return (left_alone or fires_anyway) and _is_same_after(
            self.schedule, abs(change.offset - change.before)
        )


def _is_same_after(schedule: Cron, size: timedelta) -> bool:
    """Return whether the rule, in every hour of the day, has the same times when clocks are moved by `size`."""
    fields = cron.fields(schedule.expression)
    moved, rest = divmod(size, timedelta(minutes=1))
    minutes = frozenset((minute + moved) % _MINUTES for minute in fields.minutes)
    return fields.every_hour and size < _DAY and not rest and minutes == fields.minutes


def _leaves_out(at: datetime, schedule: _Local | AnyOf) -> bool:
    early = schedule.start_at is not None and at < schedule.start_at
    late = schedule.end_at is not None and at > schedule.end_at
    zone_name: str | None = getattr(schedule, "timezone", None)
    leaves_out = schedule.exclude is not None and at in excluded(
        schedule.exclude, zone_name or "UTC"
    )
    return early or late or leaves_out
