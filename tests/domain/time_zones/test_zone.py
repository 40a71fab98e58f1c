"""Local times in every zone, around every change of its clocks, against cronsim and against the clock on the wall."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import takewhile
from typing import Any, Literal
from zlib import crc32
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from rota.domain.reasons import SkipReason
from rota.domain.schedules.base import Anchor, Dst
from rota.domain.schedules.fire_times import fire_times
from rota.domain.schedules.rules import Cron
from rota.domain.time_zones.zone import check_zone, stretch_at
from tests.domain.schedules.rules import read
from tests.domain.time_zones.wall import Window, changes, cron_rule, is_fixed, zones_by_history
from tests.support.factories import HOUR, MINUTE
from tests.support.torture import Part, torture
from tests.support.zones import zone_names

YEARS = range(2025, 2038)
EXPRESSIONS = [
    "30 2 * * *",
    "0 0 * * *",
    "*/20 * * * *",
    "*/7 1-3 * * *",
    "15 * * * *",
    "0 9 * * 1-5",
    "0 0 13 * 5",
    "45 1 * * 0",
    "* * * * *",
    "0 */2 * * *",
    "*/15 0 1 * *",
    "0 3 * * *",
    "59 23 * * *",
    "1 0 * * *",
    "5,35 0-4 * * *",
    "0 1,2,3 * * *",
    "*/30 2 * * *",
    "* 2 * * *",
    "30 * * * 6,0",
    "0 0 L * *",
    "0 12 * * 1#2",
    "0 0-23/3 * * *",
    "10 */6 * * 5L",
    "0 2 29 3 *",
    "0 0 * 1-6 *",
    "*/5 23 * * *",
    "2-58/7 2 * * sun",
    "0 4 */2 * *",
    "20 1 1 * mon",
    "30 23,0 * mar,oct 0,7",
]
RULES: list[Dst | None] = [
    None,
    *(Dst(gap=gap, fold=fold) for gap in ("shift", "skip") for fold in ("first", "both")),
]
# How long before and after a change is looked: the days around it; what the change itself can touch.
WIDE, NEAR = (26 * HOUR, 27 * HOUR), (4 * HOUR, 10 * HOUR)
TICK = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Case:
    """A rule around a change of the clocks."""

    zone: str
    change: datetime
    expression: str
    dst: Dst | None = None
    around: tuple[timedelta, timedelta] = WIDE

    @property
    def start(self) -> datetime:
        return self.change - self.around[0]

    @property
    def end(self) -> datetime:
        return self.change + self.around[1]

    def found(self) -> list[tuple[datetime, bool]]:
        """Return what the service finds: fire times, each with whether it is only recorded."""
        schedule = Cron(type="cron", expression=self.expression, timezone=self.zone, dst=self.dst)
        return _recorded(schedule, self.start, self.end)

    def on_the_wall(self) -> list[tuple[datetime, bool]]:
        """Return what a look at the clock in every minute finds."""
        gap, fold = ("shift", "first") if is_fixed(self.expression) else ("omit", "both")
        if self.dst is not None:
            gap, fold = self.dst.gap or gap, self.dst.fold or fold
        return _window(self.zone, self.start, self.end).fires(cron_rule(self.expression), gap, fold)

    def by_cronsim(self) -> list[datetime]:
        """Return what cronsim finds by itself, which knows one rule only."""
        local = (self.start - MINUTE).astimezone(ZoneInfo(self.zone))
        instants = (at.astimezone(UTC) for at in CronSim(self.expression, local))
        return [at for at in takewhile(lambda at: at < self.end, instants) if at >= self.start]

    def on_the_hour(self) -> bool:
        """Return whether the clocks go from one whole hour to another."""
        stretch = stretch_at(self.zone, self.change)
        local = self.change.replace(tzinfo=None) + stretch.offset
        return not (stretch.offset - stretch.before) % HOUR and local.minute == 0

    def check(self) -> None:
        found = self.found()
        assert found == self.on_the_wall(), self
        if self.dst is not None:
            return
        instants = [at for at, _ in found]
        if is_fixed(self.expression) or self.on_the_hour():
            assert instants == self.by_cronsim(), self
        else:  # cronsim steps by whole hours there, and over some of the times
            assert set(self.by_cronsim()) <= set(instants), self


@cache
def _window(zone: str, start: datetime, end: datetime) -> Window:
    return Window(zone, start, end)


def _recorded(schedule: Any, start: datetime, end: datetime) -> list[tuple[datetime, bool]]:
    times = fire_times(schedule, Anchor(start), start - TICK)
    return [
        (time.at, time.skip is SkipReason.DST_GAP)
        for time in takewhile(lambda time: time.at < end, times)
    ]


def test_a_sample_of_every_zone_and_its_changes() -> None:
    checked = 0
    for zone in zone_names():
        turn = crc32(zone.encode())
        around = changes(zone, YEARS[turn % len(YEARS)])
        if not around:
            continue
        for step, dst in enumerate(RULES):
            expression = EXPRESSIONS[(turn + 7 * step) % len(EXPRESSIONS)]
            Case(zone, around[turn % len(around)], expression, dst, NEAR).check()
            checked += 1
    assert checked > 800


@torture(Part.HISTORIES)
@pytest.mark.timeout(1200)
def test_every_zone_at_all_its_changes_with_every_expression() -> None:
    checked = 0
    # Most of the 600 zones change at the same instants and by the same offsets as another one.
    for history, zone in zones_by_history(zone_names(), YEARS).items():
        for change, *_ in history:
            for number, expression in enumerate(EXPRESSIONS):
                Case(zone, change, expression, None, NEAR).check()
                Case(zone, change, expression, RULES[1 + (checked + number) % 4], NEAR).check()
                checked += 1
            _window.cache_clear()
    assert checked > 300 * 9  # as much as when each of nine areas had to have 300


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("America/Santiago", datetime(2027, 9, 5, 4, tzinfo=UTC)),
        ("Asia/Beirut", datetime(2027, 3, 27, 22, tzinfo=UTC)),
    ],
)
def test_a_wildcard_does_not_fire_at_a_midnight_that_is_left_out(
    zone: str, change: datetime
) -> None:
    # cronsim does, where the day is restricted: it goes to the day's first minute without asking whether it exists.
    case = Case(zone, change, "*/20 0 * * 0")

    assert change in case.by_cronsim()
    assert case.found() == case.on_the_wall()
    assert (change, False) not in case.found()


ALL_ZONES = ["Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca"]


@pytest.mark.parametrize("zone", ALL_ZONES)
@pytest.mark.parametrize("dst", RULES)
def test_calendars_follow_local_time(zone: str, dst: Dst | None) -> None:
    gap, fold = ("shift", "first") if dst is None else (dst.gap or "", dst.fold or "")
    for time in ("00:00", "00:30", "01:45", "02:15", "03:00"):
        hour, minute = map(int, time.split(":"))
        schedule = read(type="calendar", unit="day", time=time, timezone=zone, dst=dst)
        for change in changes(zone, 2026):
            start, end = change - WIDE[0], change + WIDE[1]

            found = _recorded(schedule, start, end)

            window = _window(zone, start, end)
            assert found == window.fires(cron_rule(f"{minute} {hour} * * *"), gap, fold)


def test_several_times_in_a_gap_are_one() -> None:
    at = datetime(2026, 3, 29, 1, tzinfo=UTC)

    def berlin(gap: Literal["shift", "skip"], expression: str) -> list[tuple[datetime, bool]]:
        case = Case("Europe/Berlin", at, expression, Dst(gap=gap), NEAR)
        return [time for time in case.found() if time[0] == at]

    assert berlin("shift", "0,30 2 * * *") == [(at, False)]
    assert berlin("skip", "0,30 2 * * *") == [(at, True)]
    assert berlin("skip", "0 * * * *") == [(at, False)]  # it fires at 03:00 anyway


def test_a_day_that_a_zone_left_out_is_one_gap() -> None:
    change = datetime(2011, 12, 30, 10, tzinfo=UTC)  # Apia went from the 29th to the 31st

    assert Case("Pacific/Apia", change, "30 2 * * *").found() == [
        (datetime(2011, 12, 29, 12, 30, tzinfo=UTC), False),
        (change, False),
        (datetime(2011, 12, 30, 12, 30, tzinfo=UTC), False),
        (datetime(2011, 12, 31, 12, 30, tzinfo=UTC), False),
    ]
    assert (change, True) in Case("Pacific/Apia", change, "30 2 * * *", Dst(gap="skip")).found()


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Europe/Berlin", "Africa/Casablanca"])
def test_the_stretches_of_a_zone_follow_each_other(zone: str) -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC)
    turns = []
    while at.year < 2030:
        stretch = stretch_at(zone, at)
        assert stretch.start <= at < stretch.end
        assert stretch_at(zone, stretch.end - TICK) == stretch
        for inside in (stretch.start, stretch.end - TICK):
            assert inside.astimezone(ZoneInfo(zone)).utcoffset() == stretch.offset
        if stretch.before != stretch.offset:
            turns.append(stretch.start)
        at = stretch.end
    assert turns == [change for year in range(2025, 2030) for change in changes(zone, year)]


def test_zones_are_those_of_iana() -> None:
    assert check_zone("Europe/Berlin") == "Europe/Berlin"
    for wrong in ("Europe/Bonn", "", "../etc/passwd", "CET+1", "europe/berlin"):
        with pytest.raises(ValueError, match="IANA"):
            check_zone(wrong)


def test_a_rule_that_fires_every_few_decades_is_found() -> None:
    schedule = Cron(type="cron", expression="0 2 29 2 */7", timezone="Europe/Berlin")
    start = datetime(2076, 1, 1, tzinfo=UTC)  # 2100 is no leap year

    times = fire_times(schedule, Anchor(start), start)

    days = [next(times).at.date() for _ in range(2)]
    assert days == [date(2088, 2, 29), date(2128, 2, 29)]
