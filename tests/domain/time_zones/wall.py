"""What a clock on the wall shows, minute by minute: when a rule fires, found without any code of the service."""

from calendar import monthrange
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

#: The minutes of the day at which a rule fires on a date.
Rule = Callable[[date], frozenset[int]]
#: Changes of the clocks, each with the offsets before and after it.
History = tuple[tuple[datetime, timedelta | None, timedelta | None], ...]

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Window:
    """The minutes of a span of time and what the clocks of a zone show in them."""

    def __init__(self, zone: str, start: datetime, end: datetime) -> None:
        place = ZoneInfo(zone)
        self.shown: list[tuple[datetime, date, int]] = []
        self.again: set[datetime] = set()  # minutes that show what an earlier one showed
        self.left_out: dict[datetime, list[tuple[date, int]]] = {}  # by the first minute after them
        farthest: datetime | None = None
        for number in range((end - start) // MINUTE):
            at = start + number * MINUTE
            local = at.astimezone(place).replace(tzinfo=None)
            self.shown.append((at, local.date(), local.hour * 60 + local.minute))
            if farthest is not None and local <= farthest:
                self.again.add(at)
            elif farthest is not None and local > farthest + MINUTE:
                gap = range(1, (local - farthest) // MINUTE)
                missing = [farthest + step * MINUTE for step in gap]
                self.left_out[at] = [
                    (each.date(), each.hour * 60 + each.minute) for each in missing
                ]
            farthest = local if farthest is None else max(farthest, local)

    def fires(self, rule: Rule, gap: str, fold: str) -> list[tuple[datetime, bool]]:
        """Return the fire times, each with whether it is only recorded."""
        rule = cache(rule)
        found = {at: False for at, day, minute in self.shown if minute in rule(day)}
        if fold == "first":
            found = {at: recorded for at, recorded in found.items() if at not in self.again}
        if gap != "omit":
            for at, missing in self.left_out.items():
                if at not in found and any(minute in rule(day) for day, minute in missing):
                    found[at] = gap == "skip"
        return sorted(found.items())


@cache
def changes(zone: str, year: int) -> list[datetime]:
    """Return when the clocks of a zone are changed in a year, to the minute."""
    place = ZoneInfo(zone)
    marks = [datetime(year, 1, 1, tzinfo=UTC) + number * DAY for number in range(367)]
    offsets = [mark.astimezone(place).utcoffset() for mark in marks]
    found = []
    for mark, (before, after) in zip(marks, pairwise(offsets), strict=False):
        if before != after:
            minutes = (mark + number * MINUTE for number in range(24 * 60 + 1))
            found.append(next(at for at in minutes if at.astimezone(place).utcoffset() != before))
    return found


def zones_by_history(zones: Iterable[str], years: Iterable[int]) -> dict[History, str]:
    """Return one zone for each history of changes in some years: most have the same one as others."""
    return {
        tuple(
            (change, *_offsets(zone, change)) for year in years for change in changes(zone, year)
        ): zone
        for zone in zones
    }


def _offsets(zone: str, change: datetime) -> tuple[timedelta | None, timedelta | None]:
    before, after = (at.astimezone(ZoneInfo(zone)).utcoffset() for at in (change - MINUTE, change))
    return before, after


def cron_rule(expression: str) -> Rule:
    """Read a cron expression of five fields."""
    minute, hour, *days = expression.lower().split()
    times = frozenset(
        60 * at_hour + at_minute
        for at_hour in _numbers(hour, 0, 23)
        for at_minute in _numbers(minute, 0, 59)
    )
    return lambda day: times if _on_day(day, *days) else frozenset()


def is_fixed(expression: str) -> bool:
    """Return whether crontab takes the job for one at fixed times."""
    return not any(field.startswith("*") for field in expression.split()[:2])


def _on_day(day: date, days: str, months: str, weekdays: str) -> bool:
    if day.month not in _numbers(months, 1, 12, _MONTHS):
        return False
    by_day, by_weekday = _by_day(day, days), _by_weekday(day, weekdays)
    if days.startswith("*") or weekdays.startswith("*"):
        return by_day and by_weekday
    return by_day or by_weekday


def _by_day(day: date, field: str) -> bool:
    if field == "l":
        return day.day == monthrange(day.year, day.month)[1]
    return day.day in _numbers(field, 1, 31)


def _by_weekday(day: date, field: str) -> bool:
    weekday = day.isoweekday() % 7
    if field.endswith("l"):
        return weekday == int(field[:-1]) % 7 and (day + 7 * DAY).month != day.month
    if "#" in field:
        wanted, number = field.split("#")
        return weekday == int(wanted) % 7 and (day.day - 1) // 7 + 1 == int(number)
    return weekday in {number % 7 for number in _numbers(field, 0, 7, _DAYS)}


@cache
def _numbers(field: str, low: int, high: int, names: tuple[str, ...] | None = None) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            first, last = str(low), str(high)
        start = _number(first, low, names)
        stop = _number(last, low, names) if last else high if step else start
        found.update(range(start, stop + 1, int(step or 1)))
    return found


def _number(text: str, low: int, names: tuple[str, ...] | None) -> int:
    return names.index(text) + low if names and text in names else int(text)
