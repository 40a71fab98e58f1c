"""Another time zone database under stored fire times: what has not fired fires once, what has fired does not again."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import fire_times, next_fire
from rota.domain.schedules.replanning.zone_changes import is_affected, replanned
from rota.domain.time_zones.database import PINNED, ZoneDatabase
from rota.domain.time_zones.zone import computed_with, zone
from rota.errors import Unplannable
from tests.domain.schedules.rules import ALL, ANCHOR, read
from tests.support.factories import DAY, HOUR, MINUTE
from tests.support.zones import changed

TICK = timedelta(milliseconds=1)
# In all of the zones it is the same day then.
START = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
END = START + 32 * DAY
BERLIN = {"timezone": "Europe/Berlin"}
NINE = {"type": "cron", "expression": "0 9 * * *", **BERLIN}


@cache
def berlin_as(other: str) -> ZoneDatabase:
    return changed("2099a", {"Europe/Berlin": other})


# Berlin is at +2 in June. By the other zones its clocks are ahead of that, or behind.
LATER = ["Africa/Lagos", "Europe/London", "Etc/GMT-1", "UTC", "America/New_York", "Africa/Abidjan"]
EARLIER = ["Europe/Moscow", "Asia/Kolkata", "Asia/Tokyo", "Pacific/Kiritimati"]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 6, day, hour, minute, tzinfo=UTC)


def never(_: datetime) -> bool:
    return False


@dataclass
class Life:
    """A task that fires by one database until it is stopped, and then by another."""

    schedule: Any
    before: ZoneDatabase
    after: ZoneDatabase
    end: datetime = END

    def __post_init__(self) -> None:
        self.anchor = Anchor(START, "a-task")
        self.fired: list[datetime] = []
        self._runs: set[datetime] = set()
        #: The times on the wall that fired.
        self.wall: list[datetime] = []

    def fire_until(self, stop: datetime) -> datetime | None:
        """Fire by the database before; return the stored fire time, the next one."""
        with computed_with(self.before):
            for time in fire_times(self.schedule, self.anchor, START):
                if time.at > stop:
                    return time.at
                self._fire(time.at)
        return None

    def replan(self, stored: datetime, now: datetime) -> datetime | None:
        with computed_with(self.after):
            return replanned(
                self.schedule,
                self.anchor,
                stored,
                now,
                before=self.before,
                has_run=self._runs.__contains__,
            )

    def go_on(self, first: datetime | None) -> None:
        """Fire by the other database from its first fire time on; a time that has its run gets no second one."""
        with computed_with(self.after):
            times = [] if first is None else fire_times(self.schedule, self.anchor, first - TICK)
            for time in takewhile(lambda time: time.at < self.end, times):
                if time.at not in self._runs:
                    self._fire(time.at)

    def _fire(self, at: datetime) -> None:
        self.fired.append(at)
        self._runs.add(at)
        self.wall.append(at.astimezone(zone("Europe/Berlin")).replace(tzinfo=None))


def lived(
    schedule: Any,
    before: ZoneDatabase,
    after: ZoneDatabase,
    stop: datetime,
    end: datetime = END,
) -> Life:
    life = Life(schedule, before, after, end)
    stored = life.fire_until(stop)
    assert stored is not None
    life.go_on(life.replan(stored, stop))
    return life


RARE = [
    {"type": "cron", "expression": "0 9 * * *"},
    {"type": "cron", "expression": "30 23 * * *"},
    {"type": "cron", "expression": "15 0 * * mon,thu"},
    {"type": "cron", "expression": "0 2 L * *"},
    {"type": "calendar", "unit": "day", "time": "09:00"},
    {"type": "calendar", "unit": "day", "time": "00:00", "step": 3},
    {"type": "calendar", "unit": "week", "day": ["tue", "wed"], "time": "18:30"},
]


@pytest.mark.parametrize("rule", RARE)
@settings(deadline=None, max_examples=40)
@given(st.sampled_from([*LATER, *EARLIER]), st.booleans(), st.integers(0, 20 * 24 * 60))
def test_each_local_time_fires_once(
    rule: dict[str, Any], other: str, forth: bool, minutes: int
) -> None:
    databases = (PINNED, berlin_as(other)) if forth else (berlin_as(other), PINNED)
    schedule = read(**rule, **BERLIN)

    life = lived(schedule, *databases, stop=START + minutes * MINUTE)

    assert len(set(life.wall)) == len(life.wall)
    assert len(set(life.fired)) == len(life.fired)
    # None is left out between the first and the last.
    with computed_with(databases[1]):
        everything = fire_times(schedule, life.anchor, START - 2 * DAY)
        walls = [
            each.at.astimezone(zone("Europe/Berlin")).replace(tzinfo=None)
            for each in takewhile(lambda time: time.at < END, everything)
        ]
    expected = [each for each in walls if min(life.wall) <= each <= max(life.wall)]
    assert sorted(life.wall) == expected


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([*LATER, *EARLIER]), st.booleans(), st.integers(24 * 60, 5 * 24 * 60))
def test_office_hours_fire_no_local_time_twice(other: str, forth: bool, minutes: int) -> None:
    databases = (PINNED, berlin_as(other)) if forth else (berlin_as(other), PINNED)
    schedule = read(type="cron", expression="0,30 9-17 * * *", **BERLIN)

    life = lived(schedule, *databases, stop=START + minutes * MINUTE, end=START + 7 * DAY)

    assert len(set(life.wall)) == len(life.wall)
    assert len(set(life.fired)) == len(life.fired)


@settings(deadline=None)
@given(
    ALL,
    st.sampled_from([*LATER, *EARLIER]),
    st.integers(0, 60 * 24 * 60),
    st.sets(st.integers(0, 200)),
)
def test_to_replan_again_changes_nothing(
    schedule: Any, other: str, minutes: int, ran: set[int]
) -> None:
    before = berlin_as(other)
    with computed_with(before):
        stored = next_fire(schedule, ANCHOR, ANCHOR.at + minutes * MINUTE)
    if stored is None:
        return
    runs = {stored - number * 10 * MINUTE for number in ran if number}

    def again(at: datetime, later: timedelta) -> datetime | None:
        now = stored - 15 * MINUTE + later
        return replanned(schedule, ANCHOR, at, now, before=before, has_run=runs.__contains__)

    once = again(stored, timedelta())

    if once is not None:
        assert again(once, 5 * MINUTE) == once
        assert once in {stored, next_fire(schedule, ANCHOR, once - TICK)}


@settings(deadline=None, max_examples=40)
@given(ALL, st.integers(0, 60 * 24 * 60))
def test_a_database_with_the_same_rules_changes_nothing(schedule: Any, minutes: int) -> None:
    stored = next_fire(schedule, ANCHOR, ANCHOR.at + minutes * MINUTE)
    same = changed("2099a", {"Pacific/Fiji": "UTC"})

    assert stored is None or not is_affected(schedule, same)
    if stored is not None:
        assert replanned(schedule, ANCHOR, stored, stored, before=same, has_run=never) == stored


@pytest.mark.parametrize(
    ("other", "stop", "stored", "first"),
    [
        # 09:00 comes later than it was stored for: today's has not fired, so it fires then; or has, and does not again.
        ("Africa/Lagos", at(10, 6), at(10, 7), at(10, 8)),
        ("Africa/Lagos", at(10, 7, 30), at(11, 7), at(11, 8)),
        # It comes sooner, and may have passed already.
        ("Europe/Moscow", at(10, 5), at(10, 7), at(10, 6)),
        ("Europe/Moscow", at(10, 6, 30), at(10, 7), at(10, 6)),
        ("Europe/Moscow", at(10, 7), at(11, 7), at(11, 6)),
        # The day before, beyond midnight.
        ("Pacific/Kiritimati", at(10, 5), at(10, 7), at(9, 19)),
    ],
)
def test_nine_o_clock_is_at_nine_o_clock(
    other: str, stop: datetime, stored: datetime, first: datetime
) -> None:
    life = Life(read(**NINE), PINNED, berlin_as(other))

    assert life.fire_until(stop) == stored
    assert life.replan(stored, stop) == first
    assert life.replan(first, stop + HOUR) == first


@pytest.mark.parametrize("minutes", [0, 15, 29, 30, 31, 59])
@pytest.mark.parametrize("other", ["Africa/Lagos", "Europe/Moscow", "Asia/Kolkata"])
def test_a_rule_that_follows_the_time_that_passes_continues(other: str, minutes: int) -> None:
    schedule = read(type="cron", expression="*/20 * * * *", **BERLIN)

    life = lived(schedule, PINNED, berlin_as(other), stop=at(10, 7, minutes))

    apart = [later - earlier for earlier, later in zip(life.fired, life.fired[1:], strict=False)]
    assert all(timedelta(minutes=10) <= each <= timedelta(minutes=30) for each in apart)


@pytest.mark.parametrize(
    "rule", ["0 9 * * *", "*/20 9 * * *", "0 9-17 * * *", "0,20,40 8-10 * * *"]
)
@pytest.mark.parametrize("fold", ["first", "both"])
def test_what_the_clock_shows_again_has_fired(rule: str, fold: str) -> None:
    schedule = read(type="cron", expression=rule, dst={"fold": fold}, **BERLIN)

    for minutes in range(0, 24 * 60, 40):
        life = lived(
            schedule, PINNED, berlin_as("Africa/Lagos"), stop=at(10, 0, 5) + minutes * MINUTE
        )
        assert len(set(life.wall)) == len(life.wall)


def test_the_members_of_a_union_move_each_for_itself() -> None:
    schedule = read(
        type="any_of",
        schedules=[NINE, {"type": "cron", "expression": "20 6,7 * * *", "timezone": "UTC"}],
    )
    life = lived(schedule, PINNED, berlin_as("Europe/Moscow"), stop=at(10, 6, 30))

    # Nine o'clock was at 07:00Z, and is at 06:00Z, which has passed: it fires late, and the others as they would.
    assert [each for each in life.fired if each.date() == at(10, 0).date()] == [
        at(10, 6, 20),
        at(10, 6),
        at(10, 7, 20),
    ]


def test_what_comes_before_the_registration_does_not_fire() -> None:
    anchor = Anchor(at(10, 6, 30))
    stored = at(10, 7)

    with computed_with(berlin_as("Europe/Moscow")):
        first = replanned(read(**NINE), anchor, stored, anchor.at, before=PINNED, has_run=never)

    assert first == at(11, 6)


def test_a_rule_that_has_ended_by_the_other_database_has_nothing_left() -> None:
    schedule = read(**NINE, end_at="2026-06-10T07:30:00Z")
    life = Life(schedule, PINNED, berlin_as("Africa/Lagos"))

    stored = life.fire_until(at(10, 6))

    assert stored == at(10, 7)
    assert life.replan(stored, at(10, 6)) is None


@pytest.mark.parametrize("other", [*LATER, *EARLIER])
@pytest.mark.parametrize("jitter", [40 * MINUTE, 5 * HOUR])
@pytest.mark.parametrize("whole", [False, True])
def test_with_jitter_each_day_fires_once(other: str, jitter: timedelta, *, whole: bool) -> None:
    spread = {"jitter": jitter.total_seconds()}
    schedule = read(type="any_of", schedules=[NINE], **spread) if whole else read(**NINE, **spread)

    for hour in range(0, 24, 3):
        life = lived(schedule, PINNED, berlin_as(other), stop=at(10, hour), end=at(15, 0))

        since_nine = [each - timedelta(hours=9) for each in life.wall]
        days = [each.date() for each in since_nine]
        assert all(timedelta(hours=each.hour, minutes=each.minute) < jitter for each in since_nine)
        assert days == [days[0] + number * DAY for number in range(len(days))]


def test_a_zone_that_is_gone_cannot_be_planned_and_one_that_is_new_is_left_alone() -> None:
    gone = changed("2099a", {"Europe/Berlin": None})

    nine = read(**NINE)
    with computed_with(gone), pytest.raises(Unplannable):
        replanned(nine, ANCHOR, at(10, 7), at(9, 7), before=PINNED, has_run=never)
    assert replanned(nine, ANCHOR, at(10, 7), at(9, 7), before=gone, has_run=never) == at(10, 7)
