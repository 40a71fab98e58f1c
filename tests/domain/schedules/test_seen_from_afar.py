"""What a rule yields around a change of the clocks does not depend on how long before the look begins."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import fire_times
from rota.domain.schedules.first_runs import first_runs
from rota.domain.time_zones.zone import stretch_at
from tests.domain.schedules.rules import ALL, ANCHOR, read
from tests.domain.time_zones.wall import Window, changes, cron_rule, is_fixed, zones_by_history
from tests.support.factories import HOUR
from tests.support.torture import Part, torture
from tests.support.zones import zone_names

DAY, TICK = timedelta(days=1), timedelta(milliseconds=1)
YEARS = range(2025, 2038)
BEFORE, BEHIND = 4 * HOUR, 10 * HOUR
#: How long before a change the look begins: near, on the day before the last two, weeks and months before.
LOOKS = [BEFORE, 30 * HOUR, 3 * DAY, 13 * DAY, 45 * DAY, 190 * DAY, 400 * DAY]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _touched(zone: str, change: datetime) -> datetime:
    """Return a local time in the middle of what a change leaves out or shows twice."""
    stretch = stretch_at(zone, change)
    ends = sorted(change.replace(tzinfo=None) + each for each in (stretch.before, stretch.offset))
    return (ends[0] + (ends[1] - ends[0]) / 2).replace(second=0)


def _expressions(at: datetime) -> Iterator[str]:
    """Yield expressions that fire rarely, among others at the local time."""
    time, day = f"{at.minute} {at.hour}", at.day
    weekday, nth = at.isoweekday() % 7, (at.day - 1) // 7 + 1
    yield f"{time} * * {weekday}"
    yield f"*/5 {at.hour} * * {weekday}"
    yield f"{time} {day} * *"
    yield f"*/5 {at.hour} {day} {at.month} *"
    yield f"{time} {day} {at.month} *"
    yield f"*/15 {at.hour} * * {weekday}#{nth}"
    if day > monthrange(at.year, at.month)[1] - 7:
        yield f"*/5 {at.hour} * * {weekday}L"
    if day == monthrange(at.year, at.month)[1]:
        yield f"*/5 {at.hour} L * *"


def _calendars(at: datetime) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield calendar rules that fire rarely, each with an expression that means the same."""
    time, day, weekday = f"{at:%H:%M}", at.day, at.isoweekday() % 7
    minute = f"{at.minute} {at.hour}"
    yield {"unit": "week", "day": WEEKDAYS[at.weekday()], "time": time}, f"{minute} * * {weekday}"
    yield {"unit": "month", "day": day, "time": time}, f"{minute} {day} * *"
    yearly = {"unit": "year", "day": f"{at:%m-%d}", "time": time}
    yield yearly, f"{minute} {day} {at.month} *"


def _rules(zone: str, at: datetime) -> Iterator[tuple[Any, str, str, str]]:
    """Yield rules, each with an expression that means the same, and what it does in a gap and a fold."""
    for expression in _expressions(at):
        usual = ("shift", "first") if is_fixed(expression) else ("omit", "both")
        rule = {"type": "cron", "expression": expression, "timezone": zone}
        yield read(**rule), expression, *usual
        yield read(**rule, dst={"gap": "skip", "fold": "both"}), expression, "skip", "both"
    for fields, expression in _calendars(at):
        rule = {"type": "calendar", "timezone": zone, **fields}
        yield read(**rule), expression, "shift", "first"
        yield read(**rule, dst={"fold": "both"}), expression, "shift", "both"


def _seen(schedule: Any, change: datetime, look: timedelta) -> list[tuple[datetime, bool]]:
    anchor = Anchor(change - 1000 * DAY)
    times = fire_times(schedule, anchor, change - look - TICK)
    near = takewhile(lambda time: time.at < change + BEHIND, times)
    return [(each.at, each.skip is not None) for each in near if each.at >= change - BEFORE]


def _check(zone: str, change: datetime) -> int:
    window = Window(zone, change - BEFORE, change + BEHIND)
    checked = 0
    for schedule, expression, gap, fold in _rules(zone, _touched(zone, change)):
        shown = window.fires(cron_rule(expression), gap, fold)
        for look in LOOKS:
            assert _seen(schedule, change, look) == shown, (schedule, change, look)
        checked += bool(shown)
    return checked


def test_a_change_is_the_same_from_near_and_from_afar_in_many_zones() -> None:
    checked = 0
    for zone in zone_names():
        turn = crc32(zone.encode())
        if turn % 6 == 0 and (around := changes(zone, YEARS[turn % len(YEARS)])):
            checked += _check(zone, around[turn // 64 % len(around)])
    assert checked > 250


@torture(Part.HISTORIES)
@pytest.mark.timeout(600)
def test_every_change_of_every_zone_is_the_same_from_near_and_from_afar() -> None:
    checked = 0
    # Most of the 600 zones change at the same instants and by the same offsets as another one.
    for history, zone in zones_by_history(zone_names(), YEARS).items():
        checked += sum(_check(zone, change) for change, *_ in history)
    assert checked > 5_000


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "cron", "expression": "*/20 2 * * SUN"},
        {"type": "cron", "expression": "*/20 2 25 * *"},
        {"type": "cron", "expression": "*/20 2 * * 0#4"},
        {"type": "cron", "expression": "*/20 2 * 10 0L"},
        {"type": "any_of", "schedules": [{"type": "cron", "expression": "*/20 2 25 10 *"}]},
    ],
)
def test_a_preview_weeks_before_a_fold_has_both_of_its_times(rule: dict[str, Any]) -> None:
    members = rule.get("schedules", [rule])
    for member in members:
        member["timezone"] = "Europe/Berlin"

    times = first_runs(read(**rule), Anchor(datetime(2026, 10, 12, tzinfo=UTC)), 20)

    day = [f"{at:%H:%M}" for at in times if f"{at:%Y-%m-%d}" == "2026-10-25"]
    assert day == ["00:00", "00:20", "00:40", "01:00", "01:20", "01:40"]


_FAR_STARTS = st.builds(
    lambda change, seconds: change + timedelta(seconds=seconds),
    st.sampled_from(
        [datetime(2026, *day, tzinfo=UTC) for day in ((3, 29), (10, 25), (4, 4), (11, 1), (9, 6))]
    ),
    st.integers(-40 * 86_400, 86_400),
)


@given(ALL, _FAR_STARTS, st.integers(1, 60 * 86_400))
def test_a_look_from_later_sees_what_a_look_from_earlier_saw(
    schedule: Any, start: datetime, ahead: int
) -> None:
    later = start + timedelta(seconds=ahead)
    times = fire_times(schedule, ANCHOR, start)

    seen = [time for time in islice(times, 200) if time.at > later]

    from_later = fire_times(schedule, ANCHOR, later)
    assert list(islice(from_later, len(seen))) == seen
