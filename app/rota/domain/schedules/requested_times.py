"""Requested times: an instant, or a date or a local time in the zone of a task."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from pydantic_core import PydanticCustomError

from rota.domain.fire_time import TICK
from rota.domain.primitives.times.instants import is_date, parse_date, parse_instant, parse_local
from rota.domain.schedules.definitions import Planned, leaves
from rota.domain.time_zones.zone import FIXED, in_zone, once

_DAY = timedelta(days=1)
_LOST_PLUS = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})? \d\d:\d\d", re.ASCII)
_LOCAL = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestedTime:
    """A requested time, from `start` to before `end` (UTC): a day, or an instant, where both are equal."""

    start: datetime
    end: datetime

    @property
    def is_day(self) -> bool:
        """Whether a date was given."""
        return self.end > self.start

    @property
    def last(self) -> datetime:
        """The last instant of it."""
        return self.end - TICK if self.is_day else self.start


def parse_requested_time(value: str, timezone: str | None) -> RequestedTime:
    """Read an instant, or a date or a local time in a time zone; raises ValueError with what would be right.

    A local time that comes twice is the first of the two; one in a gap is the instant at which the clocks go forward.
    Without a zone only an instant is accepted. Raises Unplannable if the zone is no longer known.
    """
    if _LOST_PLUS.fullmatch(value):
        right = f"{value[:-6]}%2B{value[-5:]}"
        raise _wrong(
            f"the '+' of the offset has become a space: in a URL it is written '%2B', as in '{right}'"
        )
    local = _LOCAL.fullmatch(value) is not None
    if not local and not is_date(value):
        at = _read_instant(value, timezone)
        return RequestedTime(at, at)
    if timezone is None:
        raise _wrong(
            "give a time with an offset, such as '2026-12-24T17:30:00Z'; a date or a local time is on the clock of a "
            "task, and is possible where exactly one task that exists is named"
        )
    if local:
        at = _instant(parse_local(f"{value[:10]}T{value[11:]}"), timezone)
        return RequestedTime(at, at)
    day = parse_date(value)
    return RequestedTime(
        *(_instant(datetime.combine(each, time()), timezone) for each in (day, day + _DAY))
    )


def zone_of(schedule: Planned) -> str:
    """Return the time zone of a schedule; of several the first one, of none UTC."""
    zones = (getattr(leaf, "timezone", None) for leaf in leaves(schedule))
    return next((name for name in zones if name is not None), "UTC")


def _read_instant(value: str, timezone: str | None) -> datetime:
    try:
        return parse_instant(value)
    except PydanticCustomError as error:
        if timezone is None or value[:1].isdigit():
            raise
        detail = f"{error.message()}; or a local time ('2026-12-24T17:30') or a date, on the clock of {timezone}"
        raise _wrong(detail) from None


def _wrong(detail: str) -> PydanticCustomError:
    return PydanticCustomError("instant", "{detail}", {"detail": detail})


def _instant(local: datetime, timezone: str) -> datetime:
    """Return when a local time comes (UTC)."""
    far = local.replace(tzinfo=UTC) - 2 * _DAY
    return next(in_zone(once(local), timezone, FIXED, far)).at
