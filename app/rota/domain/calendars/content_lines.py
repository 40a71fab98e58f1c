"""The lines of iCalendar texts (RFC 5545, 3.1): unfolded, and sorted by the events that they belong to.

Every line is examined once, and nothing is read of what is not kept: time zones, alarms, descriptions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

#: Events in a text.
MOST_EVENTS = 2_000
_KEPT = frozenset(
    {
        *("DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "EXRULE"),
        *("RECURRENCE-ID", "UID", "STATUS"),
    }
)
_WHOLE, _EVENT = "VCALENDAR", "VEVENT"
_QUOTED = 40


@dataclass(slots=True)
class EventLines:
    """The lines of one event that are kept, and the number of its first line."""

    number: int
    lines: list[str] = field(default_factory=list)


def event_lines(text: str) -> list[EventLines]:
    """Return the lines of each event. Raises ValueError with the line, for what is no iCalendar, or too much."""
    reader = _Reader()
    for number, line in _unfolded(text):
        reader.take(number, line)
    return reader.end()


class _Reader:
    """Takes the lines one after the other."""

    def __init__(self) -> None:
        self._within: list[str] = []
        self._found: list[EventLines] = []

    def take(self, number: int, line: str) -> None:
        """Take a line; raises ValueError."""
        name, _, value = line.partition(":")
        name = name.partition(";")[0].strip().upper()
        match name:
            case "BEGIN":
                self._begin(number, value.strip().upper())
            case "END":
                self._end(number, value.strip().upper())
            case _ if not self._within:
                if line.strip():
                    raise _outside(number)
            case _ if self._within[-1] == _EVENT and name in _KEPT:
                self._found[-1].lines.append(line)

    def end(self) -> list[EventLines]:
        """Return what was found; raises ValueError if the text is not complete, or has no event."""
        if self._within:
            raise ValueError(f"it ends without END:{self._within[-1][:_QUOTED]}")
        if not self._found:
            raise ValueError("it has no event (BEGIN:VEVENT) within a BEGIN:VCALENDAR")
        return self._found

    def _begin(self, number: int, kind: str) -> None:
        if not self._within and kind != _WHOLE:
            raise _outside(number)
        self._within.append(kind)
        if kind == _EVENT:
            self._found.append(EventLines(number))
        if len(self._found) > MOST_EVENTS:
            raise ValueError(f"it has more than {MOST_EVENTS:,} events")

    def _end(self, number: int, kind: str) -> None:
        if not self._within or self._within.pop() != kind:
            raise ValueError(
                f"line {number}: END:{kind[:_QUOTED]} does not end what was begun last"
            )


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers; one that begins with a blank continues with the line before."""
    first, *others = text.lstrip("\ufeff").replace("\r\n", "\n").split("\n")
    begun, parts = 1, [first]
    for number, line in enumerate(others, 2):
        if line[:1] in {" ", "\t"}:
            parts.append(line[1:])
            continue
        yield begun, "".join(parts)
        begun, parts = number, [line]
    yield begun, "".join(parts)


def _outside(number: int) -> ValueError:
    return ValueError(
        f"line {number}: a text begins with BEGIN:VCALENDAR, and nothing is outside of it"
    )
