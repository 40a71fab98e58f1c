"""The step budget: what fire times cost, counted in steps, for the worst schedules that are legal."""

from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rota.domain.explain.time_slot import fire_before
from rota.domain.fire_time import TICK, FireTime
from rota.domain.primitives.bounds import STORED
from rota.domain.runs.planning import plan
from rota.domain.runs.upcoming import next_run
from rota.domain.schedules import jitter as spread
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Schedule
from rota.domain.schedules.fire_times import fire_times, first_fire, next_fire
from rota.domain.schedules.jitter import latest
from rota.domain.schedules.running_times import running_times, upcoming
from rota.domain.step_budget import (
    FOR_A_PAGE,
    FOR_A_REGISTRATION,
    FOR_A_REQUEST,
    StepBudget,
    limited_to,
    present_budget,
)
from rota.domain.time_zones.zone import LAST_INSTANT
from rota.errors import TooCostly
from tests.domain.runs.test_planning import due
from tests.domain.runs.test_upcoming import task_of
from tests.domain.schedules.rules import ALL, ANCHOR, STARTS, read
from tests.support.factories import DAY, NOON

EVERY_SECOND = {"type": "cron", "expression": "* * * * * *"}
FOR_EVER = [{"from": "1970-01-01", "to": "8999-12-31"}]
ADAPTER: TypeAdapter[Any] = TypeAdapter(Schedule)
_TICKS = st.integers(0, 20_000).map(lambda ticks: NOON + ticks * TICK)


def _steps(schedule: Any, after: datetime = NOON) -> float:
    """Return how many steps the next fire time takes to find."""
    with limited_to(10_000_000) as budget:
        next_fire(schedule, Anchor(NOON, "t"), after)
    return budget.steps - budget.left


def _stored(**rule: Any) -> Any:
    return ADAPTER.validate_python(rule, context=STORED)


# --- the budget
def test_a_budget_within_another_is_a_part_of_it() -> None:
    with limited_to(100) as whole:
        with limited_to(1_000) as part:
            part.spend(60)
        assert whole.left == 40
        with limited_to(1_000) as part, pytest.raises(TooCostly, match="more than 40 steps"):
            part.spend(41)
        assert whole.spent
    assert not present_budget().spent


def test_without_a_budget_there_is_no_end() -> None:
    times = fire_times(read(**EVERY_SECOND), ANCHOR, NOON)

    assert len(list(islice(times, 1_000))) == 1_000
    with limited_to(100):
        assert next(times).at > NOON  # it has begun outside


@pytest.mark.parametrize("rule", [EVERY_SECOND, {"type": "interval", "every": 1}])
def test_each_fire_time_is_a_step_and_each_member_takes_its_own(rule: dict[str, Any]) -> None:
    def cost(members: int) -> float:
        schedule = read(type="any_of", schedules=[rule] * members)
        with limited_to(100_000) as budget:
            list(islice(fire_times(schedule, ANCHOR, NOON), 1_000))
        return budget.steps - budget.left

    assert 1_000 <= cost(1) < 1_100
    assert 10 * cost(1) <= cost(10) + 20 <= 11 * cost(1)


# --- jitter
@pytest.mark.parametrize("expression", ["* * * * * *", "* * * * 1 *"])
@pytest.mark.parametrize("ago", [20 * DAY, 200 * DAY, 2_000 * DAY])
def test_jitter_looks_back_a_few_steps_however_long_it_is(expression: str, ago: timedelta) -> None:
    end_at = NOON - ago
    schedule = _stored(type="cron", expression=expression, jitter="36500d", end_at=end_at)

    assert _steps(schedule) < 5_000
    assert next_fire(schedule, Anchor(NOON, "t"), NOON) is None
    last = next_fire(schedule, Anchor(NOON, "t"), end_at - DAY)
    assert last is None or last <= end_at


@given(
    st.lists(_TICKS, unique=True, max_size=200).map(sorted),
    _TICKS,
    st.integers(1, 40_000).map(lambda ticks: ticks * TICK),
    st.integers(1, 70),
)
@settings(max_examples=300, deadline=None)
def test_the_last_time_is_that_which_reading_all_of_them_finds(
    times: list[datetime], until: datetime, within: timedelta, walked: int
) -> None:
    before = [at for at in times if until - within <= at <= until]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spread, "_WALKED", walked)
        patched.setattr(spread, "_FIRST_LOOK", 7 * TICK)
        found = latest(lambda after: (FireTime(at) for at in times if at > after), until, within)

    assert found == max(before, default=None)


def test_a_jitter_of_more_than_a_month_is_refused_and_a_stored_one_is_read() -> None:
    rule = {"type": "cron", "expression": "0 0 1 * *"}

    assert ADAPTER.validate_python(rule | {"jitter": "31d"}).jitter == 31 * DAY
    with pytest.raises(ValidationError, match="at most 31 days"):
        ADAPTER.validate_python(rule | {"jitter": "31d1s"})
    stored = _stored(**rule, jitter="40d")
    assert stored.jitter == 40 * DAY
    found = list(islice(fire_times(stored, ANCHOR, NOON), 3))
    assert [each.at.month for each in found] == [4, 5, 6]


@pytest.mark.parametrize("whole", [False, True])
def test_nothing_is_moved_beyond_the_last_instant(whole: bool) -> None:
    once = {"type": "once", "at": "8999-12-31T23:59:59.990Z"}
    spread_out = {"type": "any_of", "schedules": [once]} if whole else once
    schedule = _stored(**spread_out, jitter="36500d")

    for name in "abcdefgh":
        at = first_fire(schedule, Anchor(NOON, name))
        assert at is not None
        assert at < LAST_INSTANT


# --- exclusions of members
@pytest.mark.parametrize("jitter", [None, 5])
def test_twenty_members_that_are_left_out_for_ever_take_few_steps(jitter: int | None) -> None:
    member = EVERY_SECOND | {"exclude": FOR_EVER}
    schedule = read(type="any_of", schedules=[member] * 20, jitter=jitter)

    with limited_to(5_000):
        assert upcoming(schedule, ANCHOR, NOON, 3) == []


@given(ALL, STARTS)
@settings(max_examples=150, deadline=None)
def test_what_runs_is_what_all_fire_times_have_without_those_that_are_skipped(
    schedule: Any, start: datetime
) -> None:
    all_times = islice(fire_times(schedule, ANCHOR, start), 300)
    wanted = [each.at for each in all_times if each.skip is None]

    assert list(islice(running_times(schedule, ANCHOR, start), len(wanted))) == wanted


# --- those who ask
def test_the_next_runs_of_a_page_of_costly_tasks_take_no_more_than_the_budget_of_a_page() -> None:
    out = EVERY_SECOND | {"exclude": [{"from": "2026-01-01", "to": "2125-12-31"}]}
    far_off = {"type": "once", "at": "2100-01-01T00:00:00Z"}
    costly = task_of(read(type="any_of", schedules=[out, far_off], jitter=5))

    with limited_to(FOR_A_PAGE) as page:
        shown = [next_run(costly) for _ in range(200)]

    assert shown == [costly.next_fire_at] * 200
    assert page.spent


def test_catching_up_many_members_takes_as_many_steps_as_catching_up_one() -> None:
    def cost(members: int) -> float:
        schedule = read(type="any_of", schedules=[EVERY_SECOND] * members)
        with limited_to(10_000_000) as budget:
            made = plan(due(schedule), NOON + DAY, 10_000)
        assert made.next_fire_at is not None
        assert made.next_fire_at < NOON + DAY  # the next plan continues from there
        return budget.steps - budget.left

    assert cost(4) < 1.5 * cost(1)


def test_what_was_before_a_time_is_found_within_the_budget_of_a_request() -> None:
    members = [EVERY_SECOND | {"exclude": FOR_EVER}] * 20
    task = task_of(read(type="any_of", schedules=members), anchored_at=NOON - 3_000 * DAY)

    with limited_to(FOR_A_REQUEST):
        assert fire_before(task, NOON) == NOON - timedelta(seconds=1)


def test_a_look_ahead_says_that_its_caller_has_no_steps_left() -> None:
    schedule = read(**EVERY_SECOND)

    with limited_to(500), pytest.raises(TooCostly):
        upcoming(schedule, ANCHOR, NOON, 1_000)
    with limited_to(FOR_A_REQUEST):
        assert len(upcoming(schedule, ANCHOR, NOON, 1_000)) == 1_000


def test_the_first_fire_time_of_the_widest_union_is_within_the_budget_of_a_registration() -> None:
    members = [
        {"type": "cron", "expression": f"{minute} {minute} * * *", "jitter": "31d"}
        for minute in range(20)
    ]
    schedule = read(type="any_of", schedules=members, jitter="31d")

    with limited_to(FOR_A_REGISTRATION):
        assert first_fire(schedule, ANCHOR) is not None


def test_a_budget_of_nothing_is_spent() -> None:
    assert StepBudget(0).spent
