"""The window that a request asks about: `window`, or `from` and `to`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic_core import PydanticCustomError

from rota.api.http.requested_times import time_of
from rota.api.http.validation import invalid_parameter
from rota.domain.primitives.times.durations import parse_duration
from rota.domain.stats.window import Window
from rota.domain.tasks.task import Task
from rota.errors import Invalid

DEFAULT = "24h"
LONGEST = timedelta(days=366)
_TIME = "RFC 3339 with an offset, or in the task's time zone a local time or a date"

_Length = Annotated[
    str | None,
    Query(
        max_length=40,
        description=f"How long it is: `24h`, `7d`, `30d`, any duration of at most 366 days; {DEFAULT} by default.",
        examples=["7d"],
    ),
]


def _time(alias: str, meaning: str, example: str) -> Any:
    """Return the query parameter for a time of the window."""
    return Query(alias=alias, max_length=64, description=f"{meaning} {_TIME}.", examples=[example])


_Begin = Annotated[
    str | None,
    _time("from", "In place of `window`: the first time that is in it.", "2026-11-01T00:00:00Z"),
]
_End = Annotated[
    str | None,
    _time(
        "to",
        "The first time after it; of a date, its whole day is in it. Now by default.",
        "2026-11-08T00:00:00Z",
    ),
]


@dataclass(frozen=True, slots=True)
class AskedWindow:
    """The parameters as they were given."""

    length: str | None
    begin: str | None
    end: str | None

    @property
    def has_times(self) -> bool:
        """Whether a time was given, which may be a local one."""
        return self.begin is not None or self.end is not None

    def at(self, now: datetime, of: Task | None) -> Window:
        """Return the window; raises Invalid, or RequestValidationError for what is no time.

        It ends now at the latest. `of`: the task whose time zone applies to local times.
        """
        begin, end = time_of("from", self.begin, of), time_of("to", self.end, of)
        if begin is not None and self.length is not None:
            raise _wrong("window", "give either window or from, not both")
        ends_at = now if end is None else min(end.end, now)
        begins_at = ends_at - _length(self.length) if begin is None else begin.start
        if begins_at >= ends_at:
            raise _wrong(
                "from", "the window ends before it begins: give a `from` before `to` and now"
            )
        if ends_at - begins_at > LONGEST:
            raise _wrong("from", "a window has at most 366 days")
        return Window(begins_at, ends_at)


async def _asked(
    length: Annotated[_Length, Query(alias="window")] = None, begin: _Begin = None, end: _End = None
) -> AskedWindow:
    return AskedWindow(length, begin, end)


AskedFor = Annotated[AskedWindow, Depends(_asked)]


def _length(given: str | None) -> timedelta:
    try:
        length = parse_duration(given or DEFAULT)
    except PydanticCustomError as error:
        raise _wrong("window", error.message()) from None
    if not timedelta() < length <= LONGEST:
        raise _wrong("window", "a window has between 1 ms and 366 days")
    return length


def _wrong(parameter: str, detail: str) -> Invalid:
    return invalid_parameter(parameter, detail, "invalid")
