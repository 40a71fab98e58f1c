"""The text of calendars, as the library `icalendar` reads it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from rota.api.upcoming.icalendar import Event, render_calendar

AT = datetime(2026, 11, 25, 8, tzinfo=UTC)
TEXTS = st.text(max_size=200)


def event(text: str) -> Event:
    return Event(uid="1@rota", at=AT, changed_at=AT, summary=text, description=text,
                 categories=[text, "b"], url="https://rota.example.com/v1/tasks/t")  # fmt: skip


def calendar_of(sent: bytes) -> Any:
    """Return a calendar as the library reads it; its types are unions of all that there is."""
    return Calendar.from_ical(sent)


def events_of(sent: bytes) -> list[Any]:
    return list(calendar_of(sent).walk("VEVENT"))


def as_read(text: str) -> str:
    """Return a text as a calendar can hold it: with one kind of line ends, and no control characters."""
    ends = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        each for each in ends if each in "\t\n" or not (ord(each) < 32 or ord(each) == 127)
    )


@given(TEXTS)
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    sent = render_calendar(text, text, [event(text)])

    assert all(len(line) <= 75 for line in sent.split(b"\r\n"))
    assert sent.endswith(b"END:VCALENDAR\r\n")
    assert b"\n" not in sent.replace(b"\r\n", b"")
    (found,) = events_of(sent)
    assert str(found["SUMMARY"]) == as_read(text)
    assert found.get("DESCRIPTION", "") == as_read(text)
    assert [str(each) for each in found["CATEGORIES"].cats] == [as_read(text), "b"]


def test_an_event_has_its_time_and_takes_up_none() -> None:
    sent = render_calendar("Rota", "", [event("t")])

    (found,) = events_of(sent)
    assert found["DTSTART"].dt == found["DTSTAMP"].dt == AT
    assert (found["UID"], found["TRANSP"]) == ("1@rota", "TRANSPARENT")
    assert found["URL"] == "https://rota.example.com/v1/tasks/t"
    assert calendar_of(sent)["REFRESH-INTERVAL"].dt == timedelta(hours=1)
