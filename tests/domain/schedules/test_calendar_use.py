"""Calendars in schedules: their days are left out as if they were listed, and their changes move no fire time."""

from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.calendars.days import CalendarDays, ListedDays, listed
from rota.domain.primitives.ids import random_id
from rota.domain.reasons import SkipReason
from rota.domain.schedules.calendar_use import calendars_of, with_days, without_days
from rota.domain.schedules.definitions import AnyOf
from rota.domain.schedules.fire_times import after_finish, fire_times, next_fire
from rota.domain.schedules.replanning.calendar_changes import replanned_delay
from rota.domain.schedules.running_times import running_times
from rota.domain.step_budget import limited_to
from rota.errors import TooCostly, Unplannable
from tests.domain.schedules import rules
from tests.domain.schedules.rules import ANCHOR, STARTS, read
from tests.support.factories import DAY, HOUR, NOON

DATES = st.sets(st.integers(-3, 40).map(lambda n: (NOON + n * DAY).date()), max_size=6)
NUMBER = 15


def days(dates: Any) -> CalendarDays:
    return CalendarDays(random_id(), ListedDays(listed(dates)))


def _with(schedule: Any, *exclusions: Any) -> Any:
    """Return a schedule, read again, that leaves out more."""
    shown = schedule.model_dump(mode="json", exclude_none=True)
    return read(**shown | {"exclude": [*shown.get("exclude", ()), *exclusions]})


def _in_calendar(schedule: Any, dates: Any) -> Any:
    found = days(dates)
    return with_days(_with(schedule, {"calendar": "c"}), {"c": found}.get)


def _runs(schedule: Any, after: datetime) -> list[datetime]:
    found: list[datetime] = []
    try:
        with limited_to(20_000):
            found.extend(islice(running_times(schedule, ANCHOR, after), NUMBER))
    except TooCostly:
        return []
    return found


@settings(max_examples=50)
@given(rules.ALL, DATES, STARTS)
def test_a_schedule_with_a_calendar_runs_as_with_its_dates(
    schedule: Any, dates: set[date], start: datetime
) -> None:
    listed_ones = _with(schedule, *(each.isoformat() for each in dates))

    assert _runs(_in_calendar(schedule, dates), start) == _runs(listed_ones, start)


@settings(max_examples=50)
@given(rules.ALL, DATES, DATES, STARTS)
def test_a_change_of_a_calendar_moves_no_fire_time(
    schedule: Any, before: set[date], after: set[date], start: datetime
) -> None:
    found = [
        [time.at for time in islice(fire_times(_in_calendar(schedule, dates), ANCHOR, start), 10)]
        for dates in (before, after)
    ]

    assert found[0] == found[1]


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "cron", "expression": "0 9 * * *"},
        {"type": "interval", "every": 86_400},
        {"type": "any_of", "schedules": [{"type": "cron", "expression": "0 9 * * *"}]},
    ],
    ids=lambda fields: fields["type"],
)
def test_jitter_moves_what_a_calendar_leaves_out_as_what_runs(fields: dict[str, Any]) -> None:
    schedule = read(**fields, jitter=3_600)
    tomorrow = (NOON + DAY).date()

    free, left_out = (
        next(fire_times(_in_calendar(schedule, dates), ANCHOR, NOON)) for dates in ([], [tomorrow])
    )

    assert (free.skip, left_out.skip) == (None, SkipReason.EXCLUDED)
    assert free.at == left_out.at
    assert free.at.minute or free.at.second or free.at.microsecond  # it was moved


def test_calendars_are_found_in_members_as_well() -> None:
    member = {"type": "interval", "every": 60, "exclude": [{"calendar": "b"}]}
    schedule = read(type="any_of", schedules=[member], exclude=["2026-12-25", {"calendar": "a"}])

    filled = with_days(schedule, {"a": days([]), "b": days([])}.get)

    assert calendars_of(schedule) == {"a", "b"}
    assert filled != schedule == without_days(filled)
    assert filled.model_dump_json() == schedule.model_dump_json()
    assert isinstance(filled, AnyOf)


def test_a_calendar_that_is_not_there_makes_a_schedule_unplannable() -> None:
    schedule = read(type="cron", expression="0 9 * * *", exclude=[{"calendar": "gone"}])

    with pytest.raises(Unplannable, match="there is no calendar 'gone'"):
        next_fire(schedule, ANCHOR, NOON)


@pytest.mark.parametrize("wrong", [{"calendar": 1}, {"calendar": ""}, {"calendar": "a", "x": 1}])
def test_a_calendar_without_a_name_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="calendar"):
        read(type="cron", expression="0 9 * * *", exclude=[wrong])


DELAY = read(type="interval", every=4 * 3_600, mode="fixed_delay")
SPREAD = read(type="interval", every=4 * 3_600, mode="fixed_delay", jitter=3_600)


@settings(max_examples=60)
@given(st.sampled_from([DELAY, SPREAD]), DATES, DATES, st.integers(0, 100))
def test_a_delay_is_replanned_as_if_its_calendar_had_always_been_so(
    schedule: Any, before: set[date], after: set[date], hours: int
) -> None:
    finished_at = NOON - timedelta(hours=hours)
    old, new = (_in_calendar(schedule, dates) for dates in (before, after))
    at = after_finish(old, ANCHOR, finished_at)
    assert at is not None

    found = replanned_delay(new, ANCHOR, at, finished_at, NOON)

    expected = after_finish(new, ANCHOR, finished_at)
    assert expected is not None
    if at <= NOON:
        assert found == at
    elif expected >= NOON + HOUR:
        assert found == expected
    else:
        assert found is not None
        assert found >= NOON
