"""Defaults of the service, for tasks without rules of their own."""

from collections.abc import Iterator

import pytest

from rota.domain.alerts.defaults import Alerting, read_defaults
from tests.store.alerts.test_run_ends import end, event, types, watched
from tests.support.factories import World


@pytest.fixture
def world(migrated_database_url: str) -> Iterator[World]:
    defaults = read_defaults('{"task": "ops"}', "", "", "")
    alerting = Alerting(defaults=defaults, public_url="https://rota.example.com")
    made = World(migrated_database_url, alerting=alerting)
    yield made
    made.close()


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
