"""Calendars in the iCalendar format (RFC 5545), as far as a feed of events needs it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

MEDIA_TYPE = "text/calendar; charset=utf-8"
#: Octets of a line, without its end.
_LONGEST_LINE = 75
# What a TEXT may not hold: control characters but the tab (3.3.11). Line ends are escaped.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_ESCAPES = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event without a length; `uid` is the same whenever it is listed again."""

    uid: str
    at: datetime
    #: When what it says was changed last.
    changed_at: datetime
    summary: str
    description: str = ""
    categories: Sequence[str] = ()
    url: str | None = None


def render_calendar(name: str, description: str, events: Iterable[Event]) -> bytes:
    """Return a calendar as it is sent. Calendars read it again every hour, if they do as it says."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Rota//Upcoming runs//EN",
        "CALSCALE:GREGORIAN",
        f"NAME:{_text(name)}",
        f"X-WR-CALNAME:{_text(name)}",
        f"DESCRIPTION:{_text(description)}",
        f"X-WR-CALDESC:{_text(description)}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
        *(line for event in events for line in _event(event)),
        "END:VCALENDAR",
    ]
    return b"".join(_folded(line) for line in lines)


def _event(event: Event) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{_text(event.uid)}"
    yield f"DTSTAMP:{_utc(event.changed_at)}"
    yield f"DTSTART:{_utc(event.at)}"
    yield f"SUMMARY:{_text(event.summary)}"
    if event.description:
        yield f"DESCRIPTION:{_text(event.description)}"
    if event.categories:
        yield f"CATEGORIES:{','.join(map(_text, event.categories))}"
    if event.url is not None:
        yield f"URL:{event.url}"
    # It takes up nobody's time.
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    one_kind = value.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", one_kind).translate(_ESCAPES)


def _folded(line: str) -> bytes:
    """Return a line with its end; a long one on several lines, each begun with a space, and no character divided."""
    encoded = line.encode()
    if len(encoded) <= _LONGEST_LINE:
        return encoded + b"\r\n"
    parts: list[bytes] = []
    while encoded:
        end = min(_LONGEST_LINE - bool(parts), len(encoded))
        while end < len(encoded) and encoded[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        parts.append(encoded[:end])
        encoded = encoded[end:]
    return b"\r\n ".join(parts) + b"\r\n"
