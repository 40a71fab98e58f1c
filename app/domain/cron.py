"""Cron with crontab's meaning: 0 and 7 are Sunday, both day fields restricted are OR-ed.

Evaluated by cronsim, which follows Debian's cron over DST: a job at a fixed time fires once on both days.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from app.errors import Unplannable

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_FIELDS = 5
_MINUTE = timedelta(minutes=1)
_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)
_MAX_LENGTH = 256


def normalise(expression: str) -> str:
    """Return the expression with single spaces and `@` names in lower case.

    Raises ValueError, which says what would be right, for one that cannot be read or never fires.
    """
    text = " ".join(expression.split())
    if text.startswith("@"):
        text = text.lower()
        if text not in MACROS:
            raise ValueError(f"{text[:40]!r} is not known; use one of {', '.join(MACROS)}")
    _parse(text)
    return text


def check_zone(name: str) -> str:
    """Return the name of an IANA time zone; raises ValueError for an unknown one."""
    if name not in _zones():
        raise ValueError(f"{name[:60]!r} is not an IANA time zone such as 'Europe/Berlin' or 'UTC'")
    return name


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the time zone called `name` (IANA); raises Unplannable if the system no longer knows it."""
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        raise Unplannable(f"The time zone {name!r} is not known any more.") from None


def fire_times(expression: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Yield the fire times strictly after `after` (UTC), strictly rising, in UTC; ends where the rule ends."""
    minutes, seconds = _parse(expression)
    start = (after - _MINUTE).astimezone(zone(timezone))
    last = after
    for minute in CronSim(minutes, start):
        # cronsim gives times not after its start around a fold, so the order is kept here, in UTC.
        for second in seconds:
            at = minute.astimezone(UTC) + timedelta(seconds=second)
            if at > last:
                last = at
                yield at


@lru_cache(maxsize=4096)
def _parse(expression: str) -> tuple[str, tuple[int, ...]]:
    """Split into the 5-field rule and the seconds at which it fires.

    cronsim repairs DST for 5 fields only, so 6 fields (seconds first) are the 5-field rule times the seconds.
    """
    fields = MACROS.get(expression, expression).split()
    if len(expression) > _MAX_LENGTH or len(fields) not in {_FIELDS, _FIELDS + 1}:
        raise ValueError(
            "a cron expression has 5 fields (minute hour day month weekday), or 6 with the seconds first"
        )
    minutes = " ".join(fields[-_FIELDS:])
    try:
        seconds = _seconds(fields[0]) if len(fields) > _FIELDS else (0,)
        next(CronSim(minutes, _ANY_TIME))
    except StopIteration:
        raise ValueError("this expression never fires") from None
    except CronSimError as error:
        raise ValueError(_explain(minutes, str(error))) from None
    return minutes, seconds


def _seconds(field: str) -> tuple[int, ...]:
    return tuple(sorted(CronSim(" ".join([field, *["*"] * _FIELDS]), _ANY_TIME).seconds))


def _explain(minutes: str, message: str) -> str:
    day, month = minutes.split()[2:4]
    if message == "Bad day-of-month" and day.isdigit() and 1 <= int(day) <= 31:
        return f"this expression never fires: month {month} has no day {day}"
    return f"{message}: this is not a cron field as crontab knows it"


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
