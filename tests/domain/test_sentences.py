"""Descriptions read back: what a sentence promises is what fires, and nothing else."""

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from app.domain.describing import describe
from app.domain.exclusions import Dates, Instants
from app.domain.fire_times import Anchor, fire_times
from tests.domain.crontab import EXPRESSIONS, STARTS, Crontab
from tests.domain.rules import ALL, ZONES, read
from tests.domain.sentences import DAY, TICK, Reading, Text, read_sentence, times_of_day
from tests.domain.test_cron_fields import refused
from tests.factories import NOON

WINDOW = 800 * DAY
MOST = 200
HOUR = timedelta(hours=1)


def fired(
    schedule: Any, registered: datetime, start: datetime, end: datetime
) -> tuple[list[datetime], datetime]:
    """Return the first fire times strictly after `start` that run, and until when these are all."""
    times = fire_times(schedule, Anchor(registered, "a-task"), start)
    near = list(takewhile(lambda time: time.at <= end, islice(times, MOST)))
    until = near[-1].at if len(near) == MOST else end
    return [time.at for time in near if time.skip is None], until


def undelayed(schedule: Any) -> Any:
    """Return the schedule without its jitter: a sentence says by how much at most, not by how much."""
    changed: dict[str, Any] = {"jitter": None}
    if schedule.type == "any_of":
        changed["schedules"] = tuple(undelayed(member) for member in schedule.schedules)
    return schedule.model_copy(update=changed)


def check(schedule: Any, registered: datetime, start: datetime, window: timedelta = WINDOW) -> None:
    """Compare what is said with what fires in some time after `start`."""
    reading = read_sentence(describe(schedule))
    check_limits(schedule, reading)
    end = quiet_until(schedule, start, start + window)
    plain = undelayed(schedule)
    found, end = fired(plain, registered, start, end)
    if has_flex(schedule):
        return
    assert found == sorted(reading.fires(registered, start + TICK, end))


def has_flex(schedule: Any) -> bool:
    members = schedule.schedules if schedule.type == "any_of" else (schedule,)
    return any(getattr(member, "flex", None) for member in members)


def check_limits(schedule: Any, reading: Reading) -> None:
    """Compare what belongs to the whole, and to each member."""
    if schedule.type == "any_of" and not reading.members:  # one member, and nothing of the whole
        (schedule,) = schedule.schedules
    assert reading.delay == schedule.jitter
    assert reading.most == schedule.max_runs
    assert (reading.start, reading.end) == (schedule.start_at, schedule.end_at)
    if schedule.exclude is None or len(schedule.exclude) <= 3:
        assert reading.excluded == [_span(each) for each in schedule.exclude or ()]
    if schedule.type == "any_of":
        for member, read_member in zip(schedule.schedules, reading.members, strict=True):
            check_limits(member, read_member)


def _span(exclusion: Dates | Instants) -> tuple[Any, Any]:
    if isinstance(exclusion, Dates):
        return exclusion.first, exclusion.last
    return exclusion.start, exclusion.end


def quiet_until(schedule: Any, start: datetime, end: datetime) -> datetime:
    """Return until when no clocks are changed of which the sentence says nothing, as it goes by crontab there."""
    members = schedule.schedules if schedule.type == "any_of" else (schedule,)
    for member in members:
        zone, dst = getattr(member, "timezone", None), getattr(member, "dst", None)
        if zone is not None and (dst is None or None in {dst.gap, dst.fold}):
            end = min(end, _first_change(zone, start - DAY, end) - DAY)
    assume(end > start)
    return end


def _first_change(zone: str, start: datetime, end: datetime) -> datetime:
    place = ZoneInfo(zone)
    offset = start.astimezone(place).utcoffset()
    days = (start + number * DAY for number in range((end - start) // DAY + 3))
    return next((day for day in days if day.astimezone(place).utcoffset() != offset), end + 2 * DAY)


@given(EXPRESSIONS, STARTS)
@example("0 0 1-31 * 4", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 0 1 * 0-6", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 0 */2 * 5", datetime(2026, 1, 1, tzinfo=UTC))
@settings(deadline=None, max_examples=100)
def test_what_is_said_of_an_expression_is_when_it_fires(expression: str, start: datetime) -> None:
    assume(refused(expression) is None)

    check(read(type="cron", expression=expression), start, start)


@given(EXPRESSIONS, STARTS)
@settings(deadline=None, max_examples=100)
def test_what_is_said_of_the_days_of_an_expression_holds_for_years(
    expression: str, start: datetime
) -> None:
    at_noon = " ".join(["0 12", *expression.split()[-3:]])
    assume(refused(at_noon) is None)

    check(read(type="cron", expression=at_noon), start, start)


@given(EXPRESSIONS)
@settings(deadline=None, max_examples=100)
def test_what_is_said_of_the_times_of_an_expression_holds_for_a_day(expression: str) -> None:
    daily = " ".join([*expression.split()[:-3], "* * *"])
    text = Text(describe(read(type="cron", expression=daily)).lower())

    said = times_of_day(text)

    assert sorted(said) == Crontab(daily).times()
    assert text.rest in {", utc", " every day, utc"}


DAYS_OF_MONTH = st.integers(1, 31) | st.just("last")
DAYS_OF_YEAR = st.dates(datetime(2024, 1, 1).date(), datetime(2024, 12, 31).date()).map(  # noqa: DTZ001
    lambda day: day.strftime("%m-%d")
) | st.just("02-29")
NAMED = {
    "week": st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
    "month": DAYS_OF_MONTH,
    "year": DAYS_OF_YEAR,
}


def calendars() -> st.SearchStrategy[dict[str, Any]]:
    daily = st.just({"unit": "day"})
    others = [
        st.fixed_dictionaries(
            {"unit": st.just(unit), "day": st.lists(days, min_size=1, max_size=8)},
            optional={} if unit == "week" else {"missing_day": st.sampled_from(["skip", "last"])},
        )
        for unit, days in NAMED.items()
    ]
    common = st.fixed_dictionaries(
        {
            "step": st.integers(1, 13),
            "time": st.times().map(lambda at: at.strftime("%H:%M:%S")),
            "timezone": ZONES,
        },
        optional={
            "start_at": STARTS.map(datetime.isoformat),
            "dst": st.fixed_dictionaries(
                {
                    "gap": st.sampled_from(["skip", "shift"]),
                    "fold": st.sampled_from(["first", "both"]),
                }
            ),
        },
    )
    return st.builds(lambda rule, more: rule | more, st.one_of(daily, *others), common)


@given(calendars(), STARTS)
@settings(deadline=None, max_examples=100)
def test_what_is_said_of_a_calendar_is_when_it_fires(rule: dict[str, Any], start: datetime) -> None:
    check(read(type="calendar", **rule), start, start, 5 * WINDOW)


@given(ALL, st.integers(0, 10**7))
@settings(deadline=None, max_examples=100)
def test_what_is_said_of_any_schedule_is_when_it_fires(schedule: Any, seconds: int) -> None:
    check(schedule, NOON, NOON + timedelta(seconds=seconds), 60 * DAY)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Havana", "Australia/Lord_Howe"])
@given(
    expression=st.sampled_from(
        ["*/20 * * * *", "30 2 * * *", "*/15 0-3 * * *", "15 0 * * *", "*/45 */2 * * *"]
    ),
    gap=st.sampled_from(["skip", "shift"]),
    fold=st.sampled_from(["first", "both"]),
    days=st.integers(0, 365),
)
@settings(deadline=None, max_examples=60)
def test_what_is_said_of_changes_of_the_clocks_is_what_happens(
    zone: str, expression: str, gap: str, fold: str, days: int
) -> None:
    dst = {"gap": gap, "fold": fold}
    start = NOON.replace(month=1) + days * DAY

    check(read(type="cron", expression=expression, timezone=zone, dst=dst), start, start)


@given(
    st.integers(60, 10_000),
    st.floats(0.001, 1),
    st.sampled_from([{}, {"initial_delay": 90}, {"anchor": "2026-03-01T00:05:00Z"}]),
)
@settings(deadline=None)
def test_what_is_said_of_flex_is_where_it_fires(
    every: int, part: float, origin: dict[str, Any]
) -> None:
    schedule = read(type="interval", every=every, flex=max(every * part, 0.001), **origin)
    reading = read_sentence(describe(schedule))

    found, _ = fired(schedule, NOON, NOON, NOON + WINDOW)

    assert reading.flex == schedule.flex
    ends = sorted(reading.promised(NOON, NOON, found[-1] + schedule.every))
    matched = [end for end in ends if end - schedule.flex <= found[-1]][-len(found) :]
    assert len(matched) == len(found) == MOST
    for at, end in zip(found, matched, strict=True):
        assert end - schedule.flex <= at <= end
