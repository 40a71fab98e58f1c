"""Descriptions read back: what a sentence promises is what fires, and nothing else."""

import ast
import inspect
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, assume, example, given, reject, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rota.domain.schedules.base import Anchor
from rota.domain.schedules.descriptions import describe
from rota.domain.schedules.exclusions import Dates, Instants
from rota.domain.schedules.fire_times import after_finish, fire_times, first_fire
from tests.domain.cron import crontab
from tests.domain.cron.crontab import EXPRESSIONS, STARTS, Crontab
from tests.domain.cron.test_fields import refused
from tests.domain.schedules import sentences
from tests.domain.schedules.rules import ALL, ZONES, read
from tests.domain.schedules.sentences import DAY, TICK, Reading, Text, read_sentence, times_of_day
from tests.support.factories import NOON

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
    """Compare the description with what fires in some time after `start`."""
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
    excluded = [_span(each) for each in schedule.exclude or ()]
    if reading.counted:
        assert reading.counted == len(excluded) > 3
    else:
        assert reading.excluded == excluded
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
    if end <= start:
        reject()
    return end


def _first_change(zone: str, start: datetime, end: datetime) -> datetime:
    place = ZoneInfo(zone)
    offset = start.astimezone(place).utcoffset()
    days = (start + number * DAY for number in range((end - start) // DAY + 3))
    return next((day for day in days if day.astimezone(place).utcoffset() != offset), end + 2 * DAY)


def test_the_reader_knows_nothing_of_the_service() -> None:
    for module in (sentences, crontab):
        tree = ast.parse(inspect.getsource(module))
        froms = {each.module or "" for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}
        names = {
            name.name
            for each in ast.walk(tree)
            if isinstance(each, ast.Import)
            for name in each.names
        }
        assert not {each for each in froms | names if each.split(".")[0] in {"rota", "tests"}}


@pytest.mark.parametrize(
    "sentence",
    [
        "At 09:00 on Thursday if that is Friday, UTC",
        "At 09:00 on the 31st of every month or else on the last of its month, UTC",
        "At 09:00 on Monday to Friday, UTC",
        "At 09:00 every day",
        "At 09:00 every day, UTC, now and then",
        "Every 5 minutes, moved forward by less than 1 minute, UTC",
        "Every 5 minutes, UTC; or every hour, UTC",
        "Once, 0 seconds after the registration",
    ],
)
def test_a_sentence_that_cannot_be_read_is_a_failure(sentence: str) -> None:
    with pytest.raises(AssertionError, match="cannot read"):
        read_sentence(sentence)


@pytest.mark.parametrize(
    ("rule", "description"),
    [
        ({"type": "cron", "expression": "0 0 1-31 * 4"}, "At 00:00 on Thursday, UTC"),
        ({"type": "cron", "expression": "0 0 1 * 0-6"}, "At 00:00 on the 1st of the month, UTC"),
        (
            {"type": "cron", "expression": "0 0 13 * 5"},
            "At 00:00 on Friday, but only on the 13th of the month, UTC",
        ),
        (
            {"type": "interval", "every": 600},
            "Every 10 minutes, counted from 1 March 2026 at 00:05 UTC",
        ),
        ({"type": "interval", "every": 600}, "Every 10 minutes, starting at its registration"),
    ],
)
def test_a_sentence_that_says_something_else_is_noticed(
    rule: dict[str, Any], description: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.describe", lambda _: description)

    with pytest.raises(AssertionError, match=r"datetime"):
        check(read(**rule), NOON, NOON - TICK)


@given(EXPRESSIONS, STARTS)
@example("0 0 1-31 * 4", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 0 1 * 0-6", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 0 */2 * 5", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 0 LW,1 * 5L", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 0 * 1-3,10-12 sat-mon", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 9-17 1-7 4-8 1-5", datetime(2026, 1, 1, tzinfo=UTC))
@example("0 9-17,20 */2 * 1-3,5-7", datetime(2026, 1, 1, tzinfo=UTC))
@example("5,35 */2 * 1-7,9 1#1,1L,3#2", datetime(2026, 1, 1, tzinfo=UTC))
@settings(deadline=None, max_examples=100)
def test_the_description_of_an_expression_matches_its_fire_times(
    expression: str, start: datetime
) -> None:
    assume(refused(expression) is None)

    check(read(type="cron", expression=expression), start, start)


@given(EXPRESSIONS, STARTS)
@settings(deadline=None, max_examples=100)
def test_the_described_days_of_an_expression_hold_for_years(
    expression: str, start: datetime
) -> None:
    at_noon = " ".join(["0 12", *expression.split()[-3:]])
    assume(refused(at_noon) is None)

    check(read(type="cron", expression=at_noon), start, start)


@given(EXPRESSIONS)
@settings(deadline=None, max_examples=100)
def test_the_described_times_of_an_expression_hold_for_a_day(expression: str) -> None:
    daily = " ".join([*expression.split()[:-3], "* * *"])
    text = Text(describe(read(type="cron", expression=daily)).lower())

    description = times_of_day(text)

    assert sorted(description) == Crontab(daily).times()
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


WHOLE = {
    "week": st.just(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
    "month": st.just(list(range(1, 32))),
    "year": DAYS_OF_YEAR,
}


def calendars() -> st.SearchStrategy[dict[str, Any]]:
    daily = st.just({"unit": "day"})
    others = [
        st.fixed_dictionaries(
            {"unit": st.just(unit), "day": st.lists(days, min_size=1, max_size=8) | WHOLE[unit]},
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


def _moments(most: int) -> st.SearchStrategy[datetime]:
    return st.integers(-most, most).map(lambda seconds: NOON + timedelta(seconds=seconds))


def local_onces() -> st.SearchStrategy[dict[str, Any]]:
    gap_and_fold = {
        "gap": st.sampled_from(["skip", "shift"]),
        "fold": st.sampled_from(["first", "both"]),
    }
    at = st.datetimes(datetime(2026, 3, 8), datetime(2026, 11, 30))  # noqa: DTZ001
    night = st.sampled_from([datetime(2026, 3, 29), datetime(2026, 10, 25)])  # noqa: DTZ001
    near = st.builds(
        lambda day, minutes: day + timedelta(minutes=minutes), night, st.integers(0, 240)
    )
    return st.builds(
        lambda at, zone, dst: {"at": at.isoformat()[:19], "timezone": zone, "dst": dst},
        at | near,
        ZONES,
        st.fixed_dictionaries(gap_and_fold),
    ).map(lambda rule: {"type": "once", **rule})


def expressions() -> st.SearchStrategy[dict[str, Any]]:
    readable = EXPRESSIONS.filter(lambda expression: refused(expression) is None)
    return readable.map(lambda expression: {"type": "cron", "expression": expression})


def limited(rules: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw rules with bounds, exclusions, jitter and a number of runs."""
    dates = st.integers(-10, 90).map(lambda days: (NOON + days * DAY).date().isoformat())
    limits = st.fixed_dictionaries(
        {},
        optional={
            "start_at": _moments(5 * 10**6).map(datetime.isoformat),
            "end_at": _moments(10**6).map(lambda at: (at + 90 * DAY).isoformat()),
            "max_runs": st.integers(1, 2_000),
            "jitter": st.sampled_from([0.5, 60, 5_400, 90_061]),
            "exclude": st.lists(dates, max_size=3, unique=True),
        },
    )
    return st.builds(lambda rule, more: rule | more, rules, limits)


def without(name: str, rule: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in rule.items() if key != name}


INTERVALS = st.builds(
    lambda every, origin: {"type": "interval", "every": every, **origin},
    st.integers(1, 10**6) | st.sampled_from([3_600, 5_400, 86_400, 86_460, 90_061, 1.5]),
    st.just({})
    | _moments(10**6).map(lambda at: {"anchor": at.isoformat()})
    | st.integers(0, 10**5).map(lambda delay: {"initial_delay": delay}),
)
MEMBERS = limited(
    expressions()
    | INTERVALS
    | local_onces()
    | calendars().map(lambda rule: {"type": "calendar", **rule})
)
WHOLES = limited(
    st.lists(MEMBERS.map(lambda rule: without("max_runs", rule)), min_size=1, max_size=4).map(
        lambda members: {"type": "any_of", "schedules": members}
    )
)


@given(calendars(), STARTS)
@settings(deadline=None, max_examples=100)
def test_the_description_of_a_calendar_matches_its_fire_times(
    rule: dict[str, Any], start: datetime
) -> None:
    check(read(type="calendar", **rule), start, start, 5 * WINDOW)


@given(ALL, st.integers(0, 10**7))
@settings(deadline=None, max_examples=100)
def test_the_description_of_any_schedule_matches_its_fire_times(
    schedule: Any, seconds: int
) -> None:
    check(schedule, NOON, NOON + timedelta(seconds=seconds), 60 * DAY)


@given(MEMBERS | WHOLES)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_the_description_of_any_registration_matches_its_fire_times(rule: dict[str, Any]) -> None:
    try:
        schedule = read(**rule)
    except ValidationError:  # it would never fire
        reject()

    check(schedule, NOON, NOON, 90 * DAY)


@given(
    st.sampled_from(["*/7 * * * *", "30 9 * * 1-5", "0 0 1-7 * 1", "0 9 LW * *"]).map(
        lambda expression: {"type": "cron", "expression": expression}
    )
    | INTERVALS,
    st.sampled_from([0.5, 1, 60, 90, 3_661, 86_400]),
)
@settings(deadline=None)
def test_no_delay_is_longer_than_described(rule: dict[str, Any], jitter: float) -> None:
    schedule = read(**rule, jitter=jitter)
    reading = read_sentence(describe(schedule))
    assert reading.delay is not None

    found, _ = fired(schedule, NOON, NOON - TICK, NOON + WINDOW)

    promised = sorted(reading.fires(NOON, NOON - reading.delay, found[-1]))[-len(found) :]
    assert len(promised) == len(found)
    for before, at in zip(promised, found, strict=True):
        assert before <= at < before + reading.delay


@given(
    st.integers(1, 10**5),
    st.just({})
    | _moments(10**6).map(lambda at: {"anchor": at.isoformat()})
    | st.integers(0, 10**5).map(lambda delay: {"initial_delay": delay}),
    st.integers(0, 10**6),
)
@settings(deadline=None)
def test_the_description_of_a_fixed_delay_matches_its_fire_times(
    every: int, origin: dict[str, Any], took: int
) -> None:
    schedule = read(type="interval", mode="fixed_delay", every=every, **origin)
    reading = read_sentence(describe(schedule))
    finished = NOON + timedelta(seconds=took)

    assert first_fire(schedule, Anchor(NOON)) == next(reading.promised(NOON, NOON, NOON))
    assert reading.rest is not None
    assert after_finish(schedule, Anchor(NOON), finished) == finished + reading.rest


@given(
    st.lists(st.sampled_from(["extract", "load-2", "a.b_c", "x"]), min_size=1, unique=True),
    st.sets(st.sampled_from(["succeeded", "failed", "cancelled", "skipped"]), min_size=1),
    st.integers(1, 9),
)
def test_the_description_of_a_chain_names_what_it_waits_for(
    tasks: list[str], on: set[str], most: int
) -> None:
    schedule = read(type="after", tasks=tasks, on=sorted(on), max_runs=most)

    reading = read_sentence(describe(schedule))

    assert (reading.tasks, set(reading.ends), reading.most) == (tuple(tasks), on, most)


@pytest.mark.parametrize("number", [3, 4, 20])
def test_exclusions_are_listed_or_counted(number: int) -> None:
    days = [f"2026-04-{day:02d}" for day in range(1, number + 1)]
    schedule = read(type="cron", expression="0 9 * * *", exclude=days)

    reading = read_sentence(describe(schedule))

    check_limits(schedule, reading)
    assert len(reading.excluded) + reading.counted == number


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
def test_the_description_of_clock_changes_matches_what_happens(
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
def test_the_description_of_flex_matches_its_fire_times(
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
