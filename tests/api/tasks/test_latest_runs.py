"""GET /v1/tasks?latest_runs=: the latest runs of each task in a list, and selectors by handler, queue and all tags."""

from collections.abc import Callable

import pytest

from tests.api.keys.clients import ADMIN, bearer, client, made
from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, Api, serving


@on_both
def test_each_task_of_a_list_has_its_latest_runs_if_they_are_asked_for(api: Api) -> None:
    for name in ("busy", "quiet"):
        api.task(name)
    runs = [api.ended(api.run("busy"))["id"] for _ in range(3)]

    [busy, quiet] = api.items("/v1/tasks?latest_runs=2")

    assert [each["id"] for each in busy["latest_runs"]] == runs[:0:-1]
    assert set(busy["latest_runs"][0]) == {"id", "status", "scheduled_for", "duration"}
    assert quiet["latest_runs"] == []
    assert "latest_runs" not in api.items("/v1/tasks")[0]


@on_both
@shares_service
@pytest.mark.parametrize("number", ["-1", "31", "many"])
def test_there_is_a_bound_for_latest_runs(api: Api, number: str) -> None:
    assert api.get(f"/v1/tasks?latest_runs={number}").status_code == 422


def test_a_key_that_may_not_read_runs_gets_none(another_database: Callable[[str], str]) -> None:
    with serving(another_database("sqlite"), api_key=ADMIN, headers=bearer(ADMIN)) as api:
        api.task("busy")
        for scopes, expected in ((["tasks:read"], False), (["tasks:read", "runs:read"], True)):
            key = made(api, *scopes)["key"]

            [task] = client(api, key).items("/v1/tasks?latest_runs=5")

            assert ("latest_runs" in task) == expected


@on_both
@shares_service
@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"handler": ["count"]}, 1),
        ({"queue": ["slow", "none"]}, 1),
        ({"all_tags": ["a", "b"]}, 1),
        ({"handler": ["echo"], "all_tags": ["a"]}, 1),
        ({"queue": ["none"]}, 0),
    ],
)
def test_a_bulk_selects_by_handler_queue_and_all_tags(
    api: Api, selector: dict[str, list[str]], expected: int
) -> None:
    items = [
        {"name": "one", "handler": "echo", "schedule": MANUAL, "tags": ["a", "b"]},
        {"name": "two", "handler": "count", "schedule": MANUAL, "queue": "slow", "tags": ["b"]},
    ]
    api.post("/v1/tasks/batch", json={"items": items})

    answer = api.post("/v1/tasks/pause", json={"selector": selector, "dry_run": True})

    assert answer.json()["matched"] == expected
