"""What a run has changed in the kv of its task."""

from typing import Any

import pytest

from tests.api.marks import on_both
from tests.api.service import Api, problem

pytestmark = on_both
KV = "/v1/tasks/swapper/kv"


@pytest.fixture(autouse=True)
def task(api: Api) -> dict[str, Any]:
    return api.task("swapper", handler="swap")


def swapped(api: Api, key: str, value: str) -> dict[str, Any]:
    return api.ended(api.run("swapper", input={"key": key, "value": value}))


def test_an_entry_is_shown_as_it_was_before_and_as_the_run_left_it(api: Api) -> None:
    api.put(f"{KV}/name", json={"value": "Ada"})
    run = swapped(api, "name", "Grace")
    api.put(f"{KV}/name", json={"value": "later"})

    (change,) = api.items(f"/v1/runs/{run['id']}/kv")

    assert (change["key"], change["before_is_known"]) == ("name", True)
    assert (change["before"]["value"], change["before"]["updated_by"]) == ("Ada", "local")
    assert (change["after"]["value"], change["after"]["updated_by"]) == (
        "Grace",
        f"run:{run['id']}",
    )


def test_a_new_entry_has_nothing_before(api: Api) -> None:
    run = swapped(api, "new", "first")

    (change,) = api.items(f"/v1/runs/{run['id']}/kv")

    assert (change["before"], change["before_is_known"]) == (None, True)
    assert change["after"]["value"] == "first"


def test_what_the_history_does_not_reach_is_not_known(api: Api) -> None:
    api.task("swapper", handler="swap", kv_history=0)
    api.put(f"{KV}/name", json={"value": "Ada"})
    run = swapped(api, "name", "Grace")

    (change,) = api.items(f"/v1/runs/{run['id']}/kv")

    assert (change["before"], change["before_is_known"]) == (None, False)


def test_a_run_without_writes_has_no_changes_and_one_that_is_not_there_is_not_found(
    api: Api,
) -> None:
    api.task("quiet")
    run = api.ended(api.run("quiet", input=1))

    assert api.items(f"/v1/runs/{run['id']}/kv") == []
    problem(api.get("/v1/runs/01a22911-1ffa-705d-b9c0-655dbb68b392/kv"), 404, "not-found")
