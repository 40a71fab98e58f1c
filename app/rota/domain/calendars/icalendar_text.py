"""iCalendar texts (RFC 5545) as days. The only module that knows the library `icalendar`, which is an extra.

A day is one of them if an event touches it, by the clock of the event itself. The texts are of clients: the library
reads single events without what is not needed here (it would expand the rules of time zones, for example), and rules
are expanded by days, with counted steps.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, time, timedelta
from importlib import import_module
from typing import Any

from rota.domain.calendars.content_lines import EventLines, event_lines
from rota.domain.calendars.extra import check_installed
from rota.domain.calendars.recurrence import Recurrence, parse
from rota.domain.calendars.spans import merged
from rota.domain.calendars.walk import Walk
from rota.errors import Fault, Invalid

#: Characters of a text, and how often all of its events may happen.
MOST_TEXT, MOST_SPANS = 262_144, 20_000
#: Rules are followed until the end of the year that is so many years after the change.
YEARS_AHEAD = 30
_LIBRARY = "icalendar"
_DAY = timedelta(days=1)

Span = tuple[date, date]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """An event: when it first begins and ends on its own clock, and what repeats it."""

    uid: str
    start: datetime
    #: Days that one occurrence touches.
    touched: int
    rule: Recurrence | None
    more: tuple[Span, ...]
    without: frozenset[date]
    #: The day of the occurrence that this event replaces.
    replaces: date | None
    cancelled: bool


def days_of_text(text: str, now: datetime) -> list[Span]:
    """Return the days of a text as merged spans. Raises Invalid with what is wrong in which line, and Conflict."""
    check_installed(_LIBRARY)
    walk = Walk()
    horizon = date(min(now.year + YEARS_AHEAD, MAXYEAR - 1), 12, 31)
    try:
        events = [_read(lines) for lines in event_lines(text)]
        return merged(_bounded(_spans(events, horizon, walk)))
    except ValueError as error:
        detail = str(error)[:500]
        raise Invalid(f"/icalendar: {detail}.", Fault("/icalendar", detail)) from None


def _bounded(spans: Iterable[Span]) -> Iterator[Span]:
    for number, span in enumerate(spans):
        if number == MOST_SPANS:
            raise ValueError(
                f"its events happen more than {MOST_SPANS:,} times: give fewer or shorter rules"
            )
        yield span


def _spans(events: list[_Event], horizon: date, walk: Walk) -> Iterator[Span]:
    replaced: dict[str, set[date]] = {}
    for event in events:
        if event.replaces is not None:
            replaced.setdefault(event.uid, set()).add(event.replaces)
    for event in events:
        if not event.cancelled:
            without = (
                event.without if event.replaces else event.without | replaced.get(event.uid, set())
            )
            yield from _occurrences(event, without, horizon, walk)


def _occurrences(
    event: _Event, without: frozenset[date] | set[date], horizon: date, walk: Walk
) -> Iterator[Span]:
    first = event.start.date()
    days: Iterable[date] = [first]
    if event.rule is not None:
        days = event.rule.days(first, horizon, walk)
    for day in days:
        if day not in without:
            yield day, day + event.touched * _DAY
    yield from (span for span in event.more if span[0] not in without)


def _read(given: EventLines) -> _Event:
    text = "\r\n".join(["BEGIN:VEVENT", *given.lines, "END:VEVENT", ""])
    try:
        event = import_module(_LIBRARY).Event.from_ical(text)
        for name, message in event.errors:
            raise ValueError(f"{name}: {message}")  # noqa: TRY301  # as those of the library
        return _to_event(event)
    except (ArithmeticError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"the event in line {given.number}: it cannot be read ({error})") from None
    except ValueError as error:
        raise ValueError(f"the event in line {given.number}: {error}") from None


def _to_event(event: Any) -> _Event:
    if "DTSTART" not in event or isinstance(event["DTSTART"], list):
        raise ValueError("it needs one DTSTART")
    if "EXRULE" in event:
        raise ValueError("EXRULE is not read here: give EXDATE")
    given = event["DTSTART"].dt
    start, end = _on_its_clock(given), _end(event, given)
    replaces = event.get("RECURRENCE-ID")
    return _Event(
        uid=str(event.get("UID", "")),
        start=start,
        touched=_touched(start, end),
        rule=_rule(event, given, start),
        more=tuple(_more(event, end - start)),
        without=frozenset(_on_its_clock(each).date() for each in _listed(event, "EXDATE")),
        replaces=None if replaces is None else _on_its_clock(replaces.dt).date(),
        cancelled=str(event.get("STATUS", "")).upper() == "CANCELLED",
    )


def _end(event: Any, given: date | datetime) -> datetime:
    """Return when an event ends on its own clock: one without an end lasts a day, or no time if it has a time."""
    start = _on_its_clock(given)
    if "DTEND" in event:
        return max(_on_its_clock(_in_zone_of(event["DTEND"].dt, given)), start)
    if "DURATION" in event:
        length: timedelta = event["DURATION"].dt
        return start + max(length, timedelta())
    return start if isinstance(given, datetime) else start + _DAY


def _touched(start: datetime, end: datetime) -> int:
    """Return how many days an event touches; its end is not part of it, so one that ends at midnight has ended."""
    last = max(end - timedelta(microseconds=1), start)
    return (last.date() - start.date()).days + 1


def _rule(event: Any, given: date | datetime, start: datetime) -> Recurrence | None:
    if "RRULE" not in event:
        return None
    parts = event["RRULE"]
    if isinstance(parts, list):
        raise ValueError("it has several RRULE: give one for each event")  # noqa: TRY004  # of a client
    until = parts.get("UNTIL", [None])[0]
    return parse(parts, None if until is None else _last_day(until, given, start))


def _last_day(until: date | datetime, given: date | datetime, start: datetime) -> date:
    """Return the last day on which an event may begin."""
    if not isinstance(until, datetime):
        return until
    local = _on_its_clock(_in_zone_of(until, given))
    begins_later = isinstance(given, datetime) and local.time() < start.time()
    return local.date() - _DAY if begins_later else local.date()


def _more(event: Any, length: timedelta) -> Iterator[Span]:
    """Yield the days of the occurrences that are listed beside the rule."""
    for each in _listed(event, "RDATE"):
        span = each if isinstance(each, tuple) else (each, length)
        begins = _on_its_clock(span[0])
        ends = begins + span[1] if isinstance(span[1], timedelta) else _on_its_clock(span[1])
        yield begins.date(), begins.date() + _touched(begins, ends) * _DAY


def _listed(event: Any, name: str) -> Iterator[Any]:
    """Yield the values of a property that may have several, and be there several times."""
    given = event.get(name, [])
    for values in given if isinstance(given, list) else [given]:
        yield from (each.dt for each in values.dts)


def _on_its_clock(at: date | datetime) -> datetime:
    """Return a time as its own clock shows it, a date as its midnight."""
    return at.replace(tzinfo=None) if isinstance(at, datetime) else datetime.combine(at, time())


def _in_zone_of(at: date | datetime, given: date | datetime) -> date | datetime:
    """Return a time on the clock of another one: an end, or an UNTIL, may be in UTC."""
    if not isinstance(at, datetime) or not isinstance(given, datetime):
        return at
    return at if at.tzinfo is None or given.tzinfo is None else at.astimezone(given.tzinfo)
