"""Constraints over HTTP: declared, shown, waited for, and met."""

from typing import Any

from tests.api.marks import on_both
from tests.api.service import MANUAL, Api, pointers, problem, serving
from tests.support.factories import eventually

READY = {"type": "kv", "key": "ready", "equals": True}


def waiting_on(api: Api, run: dict[str, Any]) -> list[str]:
    return list(api.read(f"/v1/runs/{run['id']}")["waiting_on"])


def test_constraints_are_returned_with_their_defaults_and_can_be_sent_back(api: Api) -> None:
    task = api.task(
        "t",
        constraints=[
            {"type": "reachable", "url": "https://app.example.com/healthz", "deadline": "1h"},
            {"type": "min_free_disk", "bytes": "1GiB"},
            {"type": "window", "days": ["fri", "mon"], "from": "08:00", "timezone": "Asia/Tokyo"},
            {"type": "kv", "key": "ready", "equals": None, "name": "ready"},
        ],
    )

    assert task["constraints"] == [
        {
            "type": "reachable",
            "name": "reachable",
            "url": "https://app.example.com/healthz",
            "deadline": 3600,
        },
        {
            "type": "min_free_disk",
            "name": "min_free_disk",
            "bytes": 1073741824,
            "path": ".",
            "deadline": None,
        },
        {
            "type": "window",
            "name": "window",
            "days": ["mon", "fri"],
            "from": "08:00",
            "to": "24:00",
            "timezone": "Asia/Tokyo",
            "deadline": None,
        },
        {"type": "kv", "name": "ready", "key": "ready", "equals": None, "deadline": None},
    ]
    again = api.put("/v1/tasks/t", json=task).json()
    assert (again["outcome"], again["generation"]) == ("unchanged", 1)


_REFUSED: list[tuple[Any, str, str]] = [
    ([{"type": "weather"}], "/constraints/0/type", "'reachable', 'min_free_disk'"),
    ([READY, {"type": "max_load"}], "/constraints/1/load", "required"),
    ([{**READY, "key": "a b"}], "/constraints/0/key", "1 to 255 letters"),
    ([{"type": "window", "timezone": "Mars"}], "/constraints/0/timezone", "IANA"),
    ([READY, {**READY, "exists": True}], "/constraints/1", "exactly one of exists"),
    ([READY, READY], "/constraints/1", "a 'name' of its own"),
    ([READY, {**READY, "name": "kv"}], "/constraints/1/name", "a 'name' of its own"),
    ([{"type": "requires_charging"}], "/constraints/0/type", "a server has no battery"),
    ([{"requiresBatteryNotLow": True}], "/constraints/0/requiresBatteryNotLow", "'max_load'"),
    ({"networkType": "connected"}, "/constraints/networkType", "use 'reachable'"),
    (["storage_not_low"], "/constraints/0", "use 'min_free_disk'"),
    (7, "/constraints", "give a list, not a number"),
]


def test_an_error_of_an_invalid_constraint_points_at_the_field(api: Api) -> None:
    for constraints, pointer, expected in _REFUSED:
        body = {"handler": "echo", "schedule": MANUAL, "constraints": constraints}

        answer = api.put("/v1/tasks/t", json=body)

        assert expected in problem(answer, 422, "invalid")["errors"][0]["detail"], constraints
        assert pointers(answer) == [pointer], constraints


@on_both
def test_a_run_starts_when_a_client_writes_the_entry_that_it_waits_for(api: Api) -> None:
    api.task("t", constraints=[{**READY, "task": "source", "name": "source-is-ready"}])
    api.task("source")
    run = api.run("t", input={"n": 1})
    assert (run["status"], run["waiting_on"]) == ("blocked", ["constraint:pending"])
    eventually(lambda: waiting_on(api, run) == ["constraint:source-is-ready"])

    api.put("/v1/tasks/source/kv/ready", json={"value": False})
    assert waiting_on(api, run) == ["constraint:source-is-ready"]
    api.put("/v1/tasks/source/kv/ready", json={"value": True})

    ended = api.ended(run)
    assert (ended["status"], ended["result"], ended["waiting_on"]) == ("succeeded", {"n": 1}, [])


def test_a_run_is_skipped_at_its_deadline(api: Api) -> None:
    api.task("t", constraints=[{**READY, "deadline": 0.1}])

    ended = api.ended(api.run("t"))

    assert (ended["status"], ended["reason"]) == ("skipped", "constraint_deadline")
    assert (ended["attempt"], ended["started_at"]) == (0, None)
    assert [run["id"] for run in api.items("/v1/runs?reason=constraint_deadline")] == [ended["id"]]


def test_a_paused_run_waits_for_its_constraints_again_when_it_is_resumed(api: Api) -> None:
    api.task("t", constraints=[READY])
    run = api.run("t")
    api.post("/v1/tasks/t/pause", json={})
    api.put("/v1/tasks/t/kv/ready", json={"value": False})
    assert waiting_on(api, run) == ["paused"]

    api.post("/v1/tasks/t/resume", json={})
    eventually(lambda: waiting_on(api, run) == ["constraint:kv"])
    api.put("/v1/tasks/t/kv/ready", json={"value": True})

    assert api.ended(run)["status"] == "succeeded"


def test_a_patch_that_removes_the_constraints_unblocks_runs(migrated_database_url: str) -> None:
    with serving(migrated_database_url, constraint_interval=0.05) as api:
        api.task("t", constraints=[READY])
        run = api.run("t")
        eventually(lambda: waiting_on(api, run) == ["constraint:kv"])

        api.patch("/v1/tasks/t", json={"constraints": []})

        assert api.ended(run)["status"] == "succeeded"


def test_what_a_probe_has_found_to_be_missing_is_not_explained_as_unchecked(api: Api) -> None:
    api.task("t", constraints=[{"type": "min_free_disk", "bytes": 2**50}])
    run = api.run("t")
    eventually(lambda: waiting_on(api, run) == ["constraint:min_free_disk"], "it is not checked")

    message = api.read("/v1/tasks/t/explain")["message"]

    assert "min_free_disk: waits until at least 1024 TiB are free" in message
