"""Explanations name the hold, its reason and its end."""

from datetime import timedelta
from typing import Any

import pytest

from rota.domain.holds.model import HeldFireTimes
from tests.store.test_explain import DAILY, NINE, answer, why, why_at
from tests.support.factories import DAY, HOUR, MINUTE, NOON, World
from tests.support.holds import end_hold, set_hold

UNTIL_ONE = "until 2026-03-10T13:00:00.000Z"
NAMED = "hold 'h' (the database moves)"


def hold(world: World, fire_times: HeldFireTimes = HeldFireTimes.SKIP, **fields: Any) -> None:
    defaults: dict[str, Any] = {"ends_at": NOON + HOUR, "reason": "the database moves"}
    set_hold(world, fire_times=fire_times, **defaults | fields)


def test_a_held_task_does_not_fire_and_says_until_when(world: World) -> None:
    world.register()
    hold(world)

    found = why(world)

    assert answer(found) == ("held", "held")
    assert found.message == (
        f"It is held by the {NAMED}, {UNTIL_ONE}: nothing fires. Fire times within it are skipped."
    )


@pytest.mark.parametrize(
    ("policy", "fate"),
    [
        ("run_once", "the last of the fire times within it runs"),
        ("run_all", "the fire times within it run, oldest first"),
        ("skip", "none of the fire times within it runs"),
    ],
)
def test_the_policy_of_the_task_decides_about_fire_times_that_are_caught_up(
    world: World, policy: str, fate: str
) -> None:
    world.register(misfire_policy=policy)
    hold(world, HeldFireTimes.CATCH_UP, ends_at=None)
    world.clock.advance(10 * MINUTE)

    found = why(world)

    assert answer(found) == ("held", "held")
    assert "until it is ended (DELETE /v1/holds/h)" in found.message
    assert f"When it has ended, {fate} (misfire_policy {policy})." in found.message


def test_a_run_that_waits_for_the_hold_says_so_before_and_after_a_claim_has_met_it(
    world: World,
) -> None:
    world.register()
    world.clock.advance(MINUTE)
    world.fire()
    hold(world)
    waits = f"Its task is held by the {NAMED}: it waits {UNTIL_ONE}."

    assert (answer(why(world)), why(world).message) == (("waiting", "hold"), waits)
    world.claim()
    assert (answer(why(world)), why(world).message) == (("blocked", "hold"), waits)
    end_hold(world)
    assert why(world).message == "It has waited for the end of a hold, and is about to continue."


def test_a_task_that_runs_by_hand_only_is_explained_as_ever(world: World) -> None:
    world.register(schedule={"type": "manual"})
    hold(world)

    assert answer(why(world)) == ("not_scheduled", "manual")


def test_a_fire_time_ahead_that_lies_within_a_hold_does_not_run_or_is_caught_up(
    world: World,
) -> None:
    world.register(schedule=DAILY)
    span: dict[str, Any] = {"starts_at": NINE - HOUR, "ends_at": NINE + HOUR}

    hold(world, **span)
    assert answer(why_at(world, NINE)) == ("skipped", "held")
    assert f"lies within {NAMED}" in why_at(world, NINE).message
    assert answer(why_at(world, NINE + DAY)) == ("in_future", None)

    hold(world, HeldFireTimes.CATCH_UP, **span)
    assert answer(why_at(world, NINE)) == ("held", "held")
    assert why_at(world, NINE).expected


def test_a_fire_time_that_was_skipped_names_the_hold_after_it_has_ended(world: World) -> None:
    world.register()
    hold(world)
    world.clock.advance(5 * MINUTE + timedelta(seconds=1))
    world.fire()
    end_hold(world)

    found = why_at(world, NOON + 2 * MINUTE)

    assert answer(found) == ("skipped", "held")
    assert f"skipped: the task was in {NAMED}, from 2026-03-10T12:00:00.000Z until" in found.message


def test_a_hold_that_skips_decides_also_where_one_that_catches_up_lasts_longer(
    world: World,
) -> None:
    world.register()
    hold(world)
    set_hold(world, "longer", fire_times=HeldFireTimes.CATCH_UP, ends_at=NOON + 2 * HOUR)
    world.clock.advance(MINUTE + timedelta(seconds=1))
    ahead, later = (why_at(world, NOON + minutes * MINUTE) for minutes in (30, 90))
    now = why(world)
    end_hold(world, "longer")
    world.fire()

    assert (answer(ahead), answer(later)) == (("skipped", "held"), ("held", "held"))
    assert f"lies within {NAMED}" in ahead.message
    assert (
        "held by the hold 'longer', until 2026-03-10T14:00:00.000Z: nothing fires." in now.message
    )
    assert now.message.endswith(f"Those within the {NAMED}, {UNTIL_ONE}, are skipped.")
    assert f"skipped: the task was in {NAMED}" in why_at(world, NOON + MINUTE).message
