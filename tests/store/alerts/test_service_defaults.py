"""Defaults of the service, for tasks without rules of their own."""

from collections.abc import Iterator

import pytest

from rota.domain.access.names import UNLIMITED
from rota.domain.alerts.defaults import Alerting, read_defaults
from rota.store.alerts.changes import ForgetStale, Place
from rota.store.alerts.reading import RaisedAlert, list_raised
from tests.store.alerts.test_run_ends import end, event, types, watched
from tests.support.factories import World


@pytest.fixture
def world(migrated_database_url: str) -> Iterator[World]:
    defaults = read_defaults('{"task": "ops"}', "", "", "")
    alerting = Alerting(defaults=defaults, public_url="https://rota.example.com")
    made = World(migrated_database_url, alerting=alerting)
    yield made
    made.close()  # a second time does no harm


def test_a_default_holds_for_tasks_that_say_nothing_but_not_for_the_one_that_it_names(
    world: World,
) -> None:
    once = {"max_attempts": 1}
    manual = {"schedule": {"type": "manual"}, "retry": once, "overlap_policy": "allow"}
    world.register("ops", **manual)
    world.register("u", **manual, on_failure="off")
    watched(world)

    for name in ("t", "u", "ops"):
        end(world, "f", name=name)

    assert types(world) == ["failing"]
    assert event(world)["data"]["links"]["task"] == "https://rota.example.com/v1/tasks/t"


def test_alerts_of_a_default_that_is_set_no_more_are_forgotten(
    world: World, migrated_database_url: str
) -> None:
    for name in "tuv":
        world.register(name, schedule={"type": "manual"}, retry={"max_attempts": 1})
    world.register("v", on_conflict="update", on_failure={"task": "ops"}, retry={"max_attempts": 1})
    for name in "tuv":
        end(world, "f", name=name)
    world.close()

    without = World(migrated_database_url)
    after: Place | None = None
    while (after := without.do(ForgetStale(after, 1))) is not None:
        pass

    assert [each.task for each in raised(without)] == ["v"]
    without.close()


def raised(world: World) -> list[RaisedAlert]:
    return world.read(list_raised, (), (), UNLIMITED, None, 10)
