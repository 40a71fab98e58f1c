"""iCalendar texts as days: what the library writes is read again, and hostile texts are refused in time."""

import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar, Event

from rota.domain.calendars.icalendar_text import YEARS_AHEAD, days_of_text
from rota.domain.calendars.spans import merged
from rota.errors import Conflict, Invalid

NOW = datetime(2026, 11, 29, tzinfo=UTC)
DAY = timedelta(days=1)
DATES = st.dates(date(1980, 1, 1), date(2080, 1, 1))
SPANS = st.tuples(DATES, st.integers(1, 30)).map(lambda each: (each[0], each[0] + each[1] * DAY))


def text(*lines: str) -> str:
    return "\r\n".join(
        ["BEGIN:VCALENDAR", "BEGIN:VEVENT", "UID:1", *lines, "END:VEVENT", "END:VCALENDAR", ""]
    )


def days(*lines: str) -> list[tuple[date, date]]:
    return days_of_text(text(*lines), NOW)


@settings(max_examples=30)
@given(st.lists(SPANS, min_size=1, max_size=8))
def test_what_the_library_writes_is_read_again(spans: list[tuple[date, date]]) -> None:
    calendar = Calendar()
    for first, end in spans:
        event = Event()
        event.add("summary", "x" * 100 + "\nEND:VEVENT")
        event.add("dtstart", first)
        event.add("dtend", end)
        calendar.add_component(event)

    assert days_of_text(calendar.to_ical().decode(), NOW) == merged(spans)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["DTSTART;VALUE=DATE:20261224"], [(24, 25)]),
        (["DTSTART;VALUE=DATE:20261224", "DURATION:P2D"], [(24, 26)]),
        (["DTSTART:20261224T100000Z", "DTEND:20261224T110000Z"], [(24, 25)]),
        (["DTSTART:20261224T220000", "DURATION:PT2H"], [(24, 25)]),
        (["DTSTART:20261224T220000", "DURATION:PT2H1M"], [(24, 26)]),
        (["DTSTART;TZID=Europe/Berlin:20261224T220000", "DTEND:20261224T230100Z"], [(24, 26)]),
        (["DTSTART;VALUE=DATE:20261220", "RRULE:FREQ=DAILY;COUNT=3", "EXDATE;VALUE=DATE:20261221"],
         [(20, 21), (22, 23)]),
        (["DTSTART;VALUE=DATE:20261220", "RDATE;VALUE=DATE:20261222,20261224"],
         [(20, 21), (22, 23), (24, 25)]),
        (["DTSTART;TZID=America/New_York:20261220T200000",
          "RRULE:FREQ=DAILY;UNTIL=20261222T010000Z"], [(20, 22)]),
        (["DTSTART;VALUE=DATE:20261224", "STATUS:CANCELLED"], []),
    ],
)  # fmt: skip
def test_a_day_is_one_if_an_event_touches_it(
    lines: list[str], expected: list[tuple[int, int]]
) -> None:
    assert days(*lines) == [(date(2026, 12, a), date(2026, 12, b)) for a, b in expected]


def test_an_occurrence_that_was_moved_is_read_where_it_is_now() -> None:
    lines = ["DTSTART;VALUE=DATE:20261220", "RRULE:FREQ=DAILY;COUNT=2", "END:VEVENT"]
    moved = ["BEGIN:VEVENT", "UID:1", "RECURRENCE-ID;VALUE=DATE:20261221"]

    found = days(*lines, *moved, "DTSTART;VALUE=DATE:20261224")

    assert [first.day for first, _ in found] == [20, 24]


def test_a_rule_without_an_end_is_followed_for_years() -> None:
    found = days("DTSTART;VALUE=DATE:20201225", "RRULE:FREQ=YEARLY")

    assert found[-1][0] == date(NOW.year + YEARS_AHEAD, 12, 25)


HOSTILE = {
    "seconds": text("DTSTART:20260101T000000Z", "RRULE:FREQ=SECONDLY"),
    "never": text("DTSTART;VALUE=DATE:00010101", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"),
    "many rules": "BEGIN:VCALENDAR\n"
    + "BEGIN:VEVENT\nDTSTART;VALUE=DATE:19000101\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30\n"
    "END:VEVENT\n" * 700
    + "END:VCALENDAR",
    "many events": "BEGIN:VCALENDAR\n" + "BEGIN:VEVENT\nEND:VEVENT\n" * 3_000 + "END:VCALENDAR",
    "deep": "BEGIN:VCALENDAR\n" + "BEGIN:VALARM\n" * 15_000,
    "a long line": text("DTSTART;" + "X=Y;" * 60_000 + ":20260101"),
    "a zone": text("DTSTART;TZID=X:20260101T000000").replace(
        "BEGIN:VEVENT", "BEGIN:VTIMEZONE\nRRULE:FREQ=SECONDLY\nEND:VTIMEZONE\nBEGIN:VEVENT"
    ),
}  # fmt: skip


@pytest.mark.parametrize("hostile", list(HOSTILE))
def test_a_hostile_text_takes_little_time(hostile: str) -> None:
    begun = time.process_time()

    with suppress(Invalid):
        assert len(days_of_text(HOSTILE[hostile], NOW)) == 1

    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("", "no event"),
        ("x", "line 1"),
        ("BEGIN:VCALENDAR\nEND:VCALENDAR", "no event"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR", "line 3"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VEVENT\n", "END:VCALENDAR"),
        (text("SUMMARY:x"), "line 2: it needs one DTSTART"),
        (text("DTSTART:2026"), "line 2: DTSTART"),
        (text("DTSTART;VALUE=DATE:20261224", "RRULE:FREQ=DAILY;BYMONTHDAY=x"), "RRULE"),
    ],
)
def test_a_text_that_cannot_be_read_says_where(wrong: str, message: str) -> None:
    with pytest.raises(Invalid, match=message) as refused:
        days_of_text(wrong, NOW)

    assert refused.value.faults[0].pointer == "/icalendar"


def test_without_the_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rota.domain.calendars.extra.find_spec", lambda _: None)

    with pytest.raises(Conflict, match=r"rota\[calendars\]"):
        days("DTSTART;VALUE=DATE:20261224")
