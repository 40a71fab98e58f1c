"""A warning is given exactly where its fact holds: each is compared with what really fires."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rota.domain.cron import expression as cron
from rota.domain.fire_time import TICK
from rota.domain.lint.dst_changes import AHEAD
from rota.domain.lint.rules import lint
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import fire_times
from rota.domain.schedules.first_runs import first_runs
from rota.domain.time_zones.zone import stretch_at
from tests.domain.schedules.rules import read
from tests.support.factories import DAY, HOUR, MINUTE, NOON

SECOND = timedelta(seconds=1)
BEGIN = NOON.replace(hour=0)
CHANGING = st.sampled_from(
    ["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Antarctica/Troll"]
)
DSTS = st.fixed_dictionaries(
    {},
    optional={
        "gap": st.sampled_from(["shift", "skip"]),
        "fold": st.sampled_from(["first", "both"]),
    },
)


def of(schedule: Any) -> list[Any]:
    return lint(schedule, BEGIN, first_runs(schedule, Anchor(BEGIN), 3), BEGIN)


def codes(schedule: Any) -> set[str]:
    return {each.code for each in of(schedule)}


def cron_of(expression: str, **fields: Any) -> Any:
    return read(type="cron", expression=expression, **fields)


def from_to(schedule: Any, start: datetime, end: datetime, most: int = 100_000) -> list[Any]:
    """Return the fire times after `start` and until `end`."""
    times = islice(fire_times(schedule, Anchor(BEGIN), start), most)
    return list(takewhile(lambda each: each.at <= end, times))


# ----------------------------------------------------------------------------------------------- changes of clocks
def _changes(zone: str) -> Iterator[Any]:
    at = BEGIN
    while at < BEGIN + AHEAD:
        stretch = stretch_at(zone, at)
        if stretch.start >= BEGIN and stretch.before != stretch.offset:
            yield stretch
        at = stretch.end


def _local_times(expression: str, start: datetime, end: datetime) -> list[datetime]:
    return list(takewhile(lambda at: at <= end, cron.local_times(expression, start)))


def _by_the_fact(schedule: Any) -> set[str]:
    """Return what is noticed of changes of the clocks: a local time is left out, or comes twice, with an effect."""
    found = set()
    for change in _changes(schedule.timezone):
        reach = 3 * HOUR
        near = [
            (each.at, each.skip)
            for each in from_to(schedule, change.start - reach, change.start + reach)
        ]
        wall = change.start.replace(tzinfo=None)
        low, high = wall + change.before - reach, wall + change.before + reach
        local = _local_times(schedule.expression, low + TICK, high)
        steady = [((at - change.before).replace(tzinfo=UTC), None) for at in local]
        opens, closes = sorted((wall + change.before, wall + change.offset))
        inside = _local_times(schedule.expression, opens, closes - TICK)
        if inside and near != steady:
            found.add("dst_gap" if change.before < change.offset else "dst_fold")
    return found


@given(
    st.sampled_from(["0", "30", "45", "*", "*/20", "*/30", "0-59/20", "0,30", "5-50/15", "1-59"]),
    st.sampled_from(["*", "0-23", "*/1", "0-23/1"]),
    CHANGING,
    DSTS,
)
@settings(deadline=None, max_examples=80)
def test_a_rule_of_every_hour_is_warned_exactly_where_it_does_not_follow_the_time_that_passes(
    minutes: str, hours: str, zone: str, dst: dict[str, str]
) -> None:
    schedule = cron_of(f"{minutes} {hours} * * *", timezone=zone, dst=dst)

    assert codes(schedule) & {"dst_gap", "dst_fold"} == _by_the_fact(schedule)


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({"expression": "*/20 * * * *"}, set()),
        ({"expression": "30 * * * *"}, set()),
        ({"expression": "30 0-23 * * *"}, {"dst_gap", "dst_fold"}),
        ({"expression": "0-59/20 0-23 * * *"}, {"dst_fold"}),
        ({"expression": "*/20 * * * *", "dst": {"fold": "first"}}, {"dst_fold"}),
        ({"expression": "30 * * * *", "dst": {"gap": "skip"}}, {"dst_gap"}),
        ({"expression": "30 * * * *", "dst": {"gap": "shift"}}, {"dst_gap"}),
        ({"expression": "0 * * * *", "dst": {"gap": "shift"}}, set()),
        ({"expression": "0 * * * *", "timezone": "Australia/Lord_Howe"}, {"dst_gap"}),
        ({"expression": "*/30 * * * *", "timezone": "Australia/Lord_Howe"}, set()),
    ],
)
def test_rules_of_every_hour_that_clock_changes_affect_have_a_warning(
    fields: Any, warned: set[str]
) -> None:
    found = codes(read(**{"type": "cron", "timezone": "Europe/Berlin"} | fields))

    assert found & {"dst_gap", "dst_fold"} == warned


def test_a_gap_at_whose_end_the_rule_fires_anyway_promises_nothing_else() -> None:
    schedule = cron_of("0 2,3 * * *", timezone="Europe/Berlin", dst={"gap": "skip"})

    (gap,) = (each for each in of(schedule) if each.code == "dst_gap")

    assert "nothing fires for them but what fires at 03:00 anyway" in gap.message
    assert all(each.skip is None for each in from_to(schedule, BEGIN, BEGIN + 30 * DAY))


def test_times_that_the_whole_excludes_have_no_warning_for_a_member() -> None:
    member = {"type": "cron", "expression": "30 2 * * *", "timezone": "Europe/Berlin"}
    spring = [{"from": "2026-03-29T00:00:00Z", "to": "2026-03-30T00:00:00Z"}, "2027-03-28"]

    union = read(type="any_of", schedules=[member], exclude=spring)

    assert codes(union) == {"dst_fold"}


# ------------------------------------------------------------------------------------------------- both day fields
@given(
    st.sampled_from(["*", "?", "*/1", "1-31", "5,*", "*/2", "1,15", "13", "L", "1-31/1"]),
    st.sampled_from(["*", "?", "*/1", "0-6", "1-7", "fri-thu", "5", "1-5", "*/2", "5#1"]),
)
@settings(deadline=None, max_examples=120)
def test_two_day_fields_have_a_warning_with_the_days_on_which_they_fire(
    days: str, weekdays: str
) -> None:
    def fire_days(day: str, weekday: str) -> set[date]:
        schedule = cron_of(f"0 0 {day} * {weekday}")
        return {each.at.date() for each in from_to(schedule, BEGIN, BEGIN + 62 * DAY)}

    found = [
        each for each in of(cron_of(f"0 0 {days} * {weekdays}")) if each.code == "both_day_fields"
    ]

    both, by_day, by_weekday = (
        fire_days(*each) for each in ((days, weekdays), (days, "*"), ("*", weekdays))
    )
    if not found:
        assert both in (by_day, by_weekday)
    elif "fires every day" in found[0].message:
        assert len(both) == 62
    elif "fit either of them" in found[0].message:
        assert both == by_day | by_weekday
        assert len(both) < 62
    else:
        assert "fit both" in found[0].message
        assert both == by_day & by_weekday


# ------------------------------------------------------------------------------------------------ seconds in a row
@given(st.sampled_from(["*", "*/1", "0-59", "0,1", "10-12", "0-58", "30", "*/2"]), st.booleans())
@settings(deadline=None, max_examples=30)
def test_a_rule_that_fires_every_second_has_a_warning_with_the_exact_number(
    seconds: str,
    daily: bool,  # hypothesis draws it
) -> None:
    schedule = cron_of(f"{seconds} {'0 9' if daily else '*/30 *'} * * *")
    times = [each.at for each in from_to(schedule, BEGIN - TICK, BEGIN + DAY - TICK)]
    minute = [each for each in times if each < times[0] + MINUTE]

    found = [each for each in of(schedule) if each.code == "every_second"]

    assert bool(found) == (len(minute) == 60)
    assert all(f"up to {len(times):,} times a day" in each.message for each in found)


# ------------------------------------------------------------------------------------------------------- the steps
_STEPS = {
    "second": (60, SECOND, lambda at: at.replace(second=0), "{} * * * * *"),
    "minute": (60, MINUTE, lambda at: at.replace(minute=0), "{} {} * * *"),
    "hour": (24, HOUR, lambda at: at.replace(hour=0), "0 {} * * {}"),
    "day": (31, DAY, lambda at: at.replace(day=1), "0 0 {} {} *"),
}
_OTHERS = {
    "second": ["*"],
    "minute": ["*", "9", "9-17", "0,23", "*/2"],
    "hour": ["*", "1", "1,2", "6,0", "1,4"],
    "day": ["*", "1", "1,2", "4,8", "12,1", "2,3"],
}


@given(st.sampled_from(sorted(_STEPS)), st.data())
@settings(deadline=None, max_examples=80)
def test_a_step_has_a_warning_exactly_where_its_times_are_not_evenly_spaced(
    unit: str, data: Any
) -> None:
    size, one, whole, pattern = _STEPS[unit]
    step = data.draw(st.integers(2, size - 1))
    other = data.draw(st.sampled_from(_OTHERS[unit]))
    schedule = cron_of(pattern.format(f"*/{step}", other))
    days = {"second": 1, "minute": 9, "hour": 15, "day": 800}[unit]
    most = 400 if unit == "second" else 4_000
    times = [each.at for each in from_to(schedule, BEGIN - TICK, BEGIN + days * DAY, most)]
    # The value after which the field starts anew, where one whole follows upon another.
    turns = [
        later - earlier
        for earlier, later in pairwise(times)
        if whole(earlier) != whole(later)
        and later - earlier <= size * one
        and _next_whole(unit, whole(earlier)) == whole(later)
    ]
    uneven = any(apart != step * one for apart in turns)

    found = [each for each in of(schedule) if each.code == "uneven_interval"]

    mine = [each for each in found if f"'*/{step}'" in each.message]
    assert bool(mine) == uneven, (schedule.expression, found)


def _next_whole(unit: str, start: datetime) -> datetime:
    if unit == "day":
        return (start + 32 * DAY).replace(day=1)
    return start + {"second": MINUTE, "minute": HOUR, "hour": DAY}[unit]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("*/90 * * * *", "of each hour only minute 0 is left, so this is not every 90 minutes"),
        ("*/60 * * * *", "of each hour only minute 0 is left. An"),
        ("0 */36 * * *", "of each day only hour 0 is left, so this is not every 36 hours"),
        ("*/90 * * * * *", "of each minute only second 0 is left, so this is not every 90 seconds"),
        ("0 0 */45 * *", "of each month only day 1 is left, so this is not every 45 days"),
        ("0 0 1 */18 *", "of each year only January is left, so this is not every 18 months"),
        ("0 0 * * */7", "of each week only Sunday is left. An"),
        ("10-20/15 * * * *", "of each hour only minute 10 is left. An"),
        ("*/7 * * * * *", "after second 56 comes second 0, only 4 seconds later"),
        ("5/7 * * * *", "after minute 54 comes minute 5, 11 minutes later"),
        ("0-59/7 * * * *", "after minute 56 comes minute 0, only 4 minutes later"),
        ("0 0 */2 * *", "after 31 January comes 1 February, only 1 day later"),
        ("0 0 1-31/15 * *", "after 31 January comes 1 February, only 1 day later"),
        ("0 0 */2 2,3 *", "after 29 February of a leap year comes 1 March, only 1 day later"),
        ("0 0 1 */5 *", "after November comes January, only 2 months later"),
        ("0 0 * * */2", "after Saturday comes Sunday, only 1 day later"),
    ],
)
def test_a_misleading_step_has_a_warning_with_its_effect(expression: str, says: str) -> None:
    (only,) = of(cron_of(expression))

    assert only.code == "uneven_interval"
    assert says in only.message


@pytest.mark.parametrize(
    "expression",
    [
        "*/7 9 * * *",
        "0 */5 * * 1",
        "0-30/7 * * * *",
        "30-59/10 * * * *",
        "5/10 * * * *",
        "0 8-18/3 * * *",
        "9-9/5 * * * *",
        "0 0 1 1/3 *",
        "0 0 * * 1-5/2",
        "*/7,30 * * * *",
    ],
)
def test_a_step_that_is_even_or_never_starts_anew_has_no_warning(expression: str) -> None:
    assert codes(cron_of(expression)) == set()


# ---------------------------------------------------------------------------------------------- the ends of months
def _lacks(year: int, month: int, day: int) -> bool:
    return monthrange(year, month)[1] < day


@given(
    st.integers(26, 31),
    st.sets(st.integers(1, 12), min_size=1, max_size=12),
    st.sampled_from(["*", "*/1", "1", "*/2"]),
    st.none() | st.integers(10, 900),
)
@settings(deadline=None, max_examples=80)
def test_a_day_of_an_expression_has_a_warning_exactly_where_one_of_its_months_lacks_it(
    day: int, months: set[int], weekday: str, days: int | None
) -> None:
    end = None if days is None else BEGIN + days * DAY
    given = {} if end is None else {"end_at": end.isoformat()}
    try:
        schedule = cron_of(f"0 0 {day} {','.join(map(str, sorted(months)))} {weekday}", **given)
    except ValueError:
        assume(False)
    assume(first_runs(schedule, Anchor(BEGIN), 1))
    lacking = {
        month
        for year in range(2026, 2034)
        for month in months
        if _lacks(year, month, day)
        and (last := date(year, month, monthrange(year, month)[1])) >= BEGIN.date()
        and (end is None or last <= end.date())
    }

    assert ("month_end" in codes(schedule)) == bool(lacking)


@given(st.integers(29, 31), st.integers(1, 30), st.integers(0, 11))
@settings(deadline=None, max_examples=40)
def test_a_day_of_a_calendar_has_a_warning_exactly_where_one_of_its_months_lacks_it(
    day: int, step: int, first: int
) -> None:
    start = datetime(2026, first + 1, 1, tzinfo=UTC)
    schedule = read(
        type="calendar", unit="month", step=step, day=day, time="09:00", start_at=start.isoformat()
    )
    assume(first_runs(schedule, Anchor(BEGIN), 1))
    numbers = range(2026 * 12 + first, 2026 * 12 + first + 12 * 12 * step, step)
    past = 2026 * 12 + BEGIN.month - 1
    lacking = any(
        _lacks(number // 12, number % 12 + 1, day) for number in numbers if number >= past
    )

    assert ("month_end" in codes(schedule)) == lacking


@pytest.mark.parametrize(
    ("days", "weekday", "warned"),
    [
        ("29-31/2", "*", True),
        ("30/1", "*", True),
        ("28-31", "*", True),
        ("31", "*/1", True),
        ("31", "5", True),
        ("1,31", "*", True),
        ("1-31", "*", False),
        ("20-31", "*", False),
        ("*/2", "*", False),
        ("31", "0-6", False),
        ("*/1,31", "*", False),
        ("L", "*", False),
        ("28", "*", False),
    ],
)
def test_days_that_are_named_and_missing_have_a_warning(
    days: str, weekday: str, warned: bool
) -> None:  # parametrized
    assert ("month_end" in codes(cron_of(f"0 0 {days} * {weekday}"))) == warned


@pytest.mark.parametrize(
    ("step", "start", "says"),
    [
        (1, "2026-01-01", "it fires every four years"),
        (3, "2026-01-01", "it fires for it in 2032, 2044 and 2056"),
        (4, "2028-01-01", None),
    ],
)
def test_a_leap_day_has_a_warning_with_its_years(step: int, start: str, says: str | None) -> None:
    schedule = read(
        type="calendar",
        unit="year",
        step=step,
        day="02-29",
        time="09:00",
        start_at=f"{start}T00:00:00Z",
    )

    found = of(schedule)

    assert [each.code for each in found] == ([] if says is None else ["month_end"])
    if says is not None:
        years = [each.at.year for each in islice(fire_times(schedule, Anchor(BEGIN), BEGIN), 3)]
        assert says in found[0].message
        assert step == 1 or all(str(year) in found[0].message for year in years)


def test_a_rule_that_never_fires_has_that_warning_and_none_that_contradicts_it() -> None:
    never = read(
        type="calendar",
        unit="year",
        step=2,
        day="02-29",
        time="09:00",
        start_at="2027-01-01T00:00:00Z",
    )
    over = cron_of("*/7 * * * *", end_at="2026-01-01T00:00:00Z")

    assert codes(never) == codes(over) == {"never_fires"}
