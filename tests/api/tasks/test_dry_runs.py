"""`?dry_run=true`: what a registration would do, by the same rules, and nothing of it is stored."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from rota.api.tasks.dry_runs.responses import show_diff
from rota.db import tables
from rota.domain.access.scopes import Scope
from rota.domain.dry_runs.fire_times import FireTimeDiff
from rota.domain.dry_runs.moves import MovedTime
from tests.api.access.clients import OURS, client, shared, with_key
from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, Api, pointers, problem, serving
from tests.api.test_encryption import OLD

NINE = {"type": "cron", "expression": "0 9 * * *", "timezone": "Europe/Berlin"}
TEN = NINE | {"expression": "0 10 * * *"}
#: What a registration may write to.
_TABLES = ("task", "task_tag", "run", "kv", "event", "audit", "idempotency", "predecessor")


@pytest.fixture(scope="module")
def sealing(another_database: Callable[[str], str]) -> Iterator[Api]:
    """A service that can keep secrets."""
    with serving(another_database("sqlite"), encryption_keys=OLD) as made:
        yield made


@pytest.fixture(scope="module")
def guarded(another_database: Callable[[str], str]) -> Iterator[Api]:
    """A service with keys."""
    with shared(another_database("sqlite")) as made:
        yield made


def stored(api: Api) -> dict[str, list[str]]:
    with api.app.state.services.database.read() as connection:
        return {
            name: sorted(map(repr, connection.execute(select(tables.metadata.tables[name])).all()))
            for name in _TABLES
        }


def dry(api: Api, method: str, path: str, body: Any, query: str = "", **options: Any) -> Any:
    """Make a dry run, and check that it has left no trace."""
    before = stored(api)
    answer = api.call(method, f"{path}?dry_run=true{query}", json=body, **options)
    assert stored(api) == before
    return answer


def paths(shown: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        each["path"]: (each.get("before", "absent"), each.get("after", "absent"))
        for each in shown["changes"]
    }


@shares_service
@on_both
def test_a_declaration_would_create_a_task_and_does_not(api: Api) -> None:
    body = {"handler": "echo", "input": {"a": 1}, "schedule": NINE, "kv": {"cursor": 0}}

    answer = dry(api, "PUT", "/v1/tasks/created", body)

    shown = answer.json()
    assert (answer.status_code, shown["result"], shown["status"]) == (200, "created", "active")
    assert "etag" not in answer.headers
    assert paths(shown) == {
        "/handler": ("absent", "echo"),
        "/schedule": ("absent", NINE),
        "/input": ("absent", {"a": 1}),
        "/kv/cursor": ("absent", 0),
    }
    assert shown["fire_times"]["counts"]["appear"] in {90, 91}
    assert shown["next_fire_at"] == shown["fire_times"]["appear"][0]["at"]
    assert api.get("/v1/tasks/created").status_code == 404


@shares_service
@on_both
def test_an_edit_shows_fields_and_fire_times_that_change(api: Api) -> None:
    task = api.task("edited", schedule=NINE, input={"a": 1, "b": [1]}, priority=3)
    body = {"handler": "echo", "schedule": TEN, "input": {"a": 1, "c": 2}, "tags": ["billing"]}

    answer = dry(api, "PUT", "/v1/tasks/edited", body)
    shown = answer.json()

    assert shown["result"] == "updated"
    assert answer.headers["etag"] == f'"{task["id"]}.1"'
    assert paths(shown) == {
        "/schedule/expression": ("0 9 * * *", "0 10 * * *"),
        "/input/b": ([1], "absent"),
        "/input/c": ("absent", 2),
        "/priority": (3, 0),
        "/tags": ([], ["billing"]),
    }
    times = shown["fire_times"]
    assert times["counts"]["move"] in {89, 90, 91}
    for each in times["move"]:
        assert each["from"]["local"][:13] == each["to"]["local"][:11] + "09"
    assert not times["truncated"]
    applied = api.put("/v1/tasks/edited", json=body, headers={"if-match": answer.headers["etag"]})
    assert applied.json()["next_fire_at"] == shown["next_fire_at"]


@shares_service
@on_both
def test_what_is_declared_as_it_is_stays_unchanged(api: Api) -> None:
    api.task("same", schedule=NINE)

    shown = dry(api, "PUT", "/v1/tasks/same", {"handler": "echo", "schedule": NINE}).json()

    assert (shown["result"], shown["changes"]) == ("unchanged", [])
    assert shown["fire_times"]["counts"] == {"appear": 0, "vanish": 0, "move": 0}


@shares_service
@on_both
def test_a_patch_of_the_next_fire_time_moves_it(api: Api) -> None:
    task = api.task("moved", schedule=NINE)
    to = "2099-01-01T00:00:00.000Z"
    near = task["next_fire_at"].replace(":00:00.000Z", ":30:00.000Z")

    far = dry(api, "PATCH", "/v1/tasks/moved", {"next_fire_at": to}).json()
    shown = dry(api, "PATCH", "/v1/tasks/moved", {"next_fire_at": near}).json()

    assert far["fire_times"]["vanish"][0]["at"] == task["next_fire_at"]
    assert shown["next_fire_at"] == near
    assert paths(shown) == {"/next_fire_at": (task["next_fire_at"], near)}
    (move,) = shown["fire_times"]["move"]
    assert (move["from"]["at"], move["to"]["at"]) == (task["next_fire_at"], near)


def test_days_on_which_the_clocks_change_are_marked() -> None:
    nights = [datetime(2026, 3, day, 1, 30, tzinfo=UTC) for day in (28, 29, 30)]
    diff = FireTimeDiff(
        begin=nights[0],
        until=nights[2],
        compared_until=nights[2],
        appear=nights,
        vanish=(),
        move=[MovedTime(nights[1], nights[2])],
        zone_before="UTC",
        zone_after="Europe/Berlin",
    )

    shown = show_diff(diff, 2)

    assert shown["appear"] == [
        {"at": "2026-03-28T01:30:00.000Z", "local": "2026-03-28T02:30:00.000+01:00", "dst": None},
        {"at": "2026-03-29T01:30:00.000Z", "local": "2026-03-29T03:30:00.000+02:00", "dst": "gap"},
    ]
    assert shown["move"][0]["from"]["local"] == "2026-03-29T01:30:00.000+00:00"
    assert shown["counts"] == {"appear": 3, "vanish": 0, "move": 1}
    assert shown["truncated"]


def test_secrets_are_in_no_dry_run(sealing: Api) -> None:
    api = sealing
    target = {"url": "https://app.example.com/x", "headers": {"Authorization": "Bearer old-5ecret"}}
    http = {"handler": "http", "schedule": MANUAL}
    api.task("secret", **http, target=target, input={"pin": "old-5ecret"}, secret_input=True)
    new = target | {"headers": {"Authorization": "Bearer new-5ecret", "X-Kind": "daily"}}

    same = dry(
        api, "PUT", "/v1/tasks/secret", {**http, "target": target, "secret_input": True}
    ).json()
    answers = [
        dry(api, "PUT", "/v1/tasks/secret", {**http, "target": new, "input": {"pin": "new-5ecret"},
                                             "secret_input": True}),
        dry(api, "PATCH", "/v1/tasks/secret", {"input": {"pin": "new-5ecret"}}),
        dry(api, "PUT", "/v1/tasks/another", {**http, "target": new}),
        dry(api, "PUT", "/v1/tasks/another", {**http, "target": target, "secret_input": True,
                                              "input": "new-5ecret"}),
    ]  # fmt: skip

    assert same["result"] == "unchanged"
    for each in answers:
        assert each.status_code == 200
        assert "5ecret" not in each.text
    redacted = ("[redacted]", "[redacted]")
    assert paths(answers[0].json()) == {
        "/target/headers/Authorization": redacted,
        "/target/headers/X-Kind": ("absent", "daily"),
        "/input": redacted,
    }
    assert paths(answers[1].json()) == {"/input": redacted}


@shares_service
@on_both
def test_a_dry_run_is_refused_as_the_real_one_would_be(api: Api) -> None:
    task = api.task("there", schedule=NINE)
    body = {"handler": "echo", "schedule": NINE, "name": "there"}

    problem(dry(api, "POST", "/v1/tasks", body), 409, "task-exists")
    absent = dry(api, "PUT", "/v1/tasks/there", body | {"handler": "absent"})
    assert pointers(absent) == ["/handler"]
    stale = {"if-match": f'"{task["id"]}.7"'}
    for method, change in (("PUT", body), ("PATCH", {"priority": 3})):
        refused = dry(api, method, "/v1/tasks/there", change, headers=stale)
        problem(refused, 412, "precondition-failed")
    none = dry(api, "PUT", "/v1/tasks/there", body, headers={"if-none-match": "*"})
    problem(none, 412, "precondition-failed")
    problem(dry(api, "PATCH", "/v1/tasks/nobody", {"priority": 3}), 404, "not-found")
    batch = {"items": [body | {"name": "fine"}, body]}
    refused = dry(api, "POST", "/v1/tasks/batch", batch)
    problem(refused, 409, "task-exists")
    assert pointers(refused) == ["/items/1/name"]


@pytest.mark.parametrize(
    ("on_conflict", "result"), [("keep", "kept"), ("update", "updated"), ("replace", "replaced")]
)
@shares_service
@on_both
def test_a_post_says_what_its_on_conflict_would_do(api: Api, on_conflict: str, result: str) -> None:
    name = f"conflict-{on_conflict}"
    api.task(name, schedule=NINE)

    body = {"handler": "echo", "schedule": TEN, "name": name}
    shown = dry(api, "POST", "/v1/tasks", body, f"&on_conflict={on_conflict}").json()

    assert shown["result"] == result
    moved = shown["fire_times"]["counts"]["move"]
    assert (moved == 0) if result == "kept" else (moved > 80)
    assert bool(shown["changes"]) == (result != "kept")


@shares_service
@on_both
def test_a_dry_run_uses_up_no_idempotency_key(api: Api) -> None:
    body = {"handler": "echo", "schedule": MANUAL, "name": "once-only"}
    key = {"idempotency-key": "k-dry"}

    for _ in range(2):
        assert dry(api, "POST", "/v1/tasks", body, headers=key).status_code == 200
    made = api.post("/v1/tasks", json=body, headers=key)

    assert made.status_code == 201
    assert "idempotency-replayed" not in made.headers


@shares_service
@on_both
def test_a_batch_shows_what_would_change_of_each_task(api: Api) -> None:
    api.task("batch-1", schedule=NINE)
    api.task("batch-2", schedule=NINE)
    items = [
        {"name": f"batch-{number}", "handler": "echo", "schedule": schedule}
        for number, schedule in enumerate((NINE, TEN, {"type": "interval", "every": 60}), 1)
    ]

    answer = dry(api, "POST", "/v1/tasks/batch", {"items": items, "on_conflict": "update"})

    shown = answer.json()
    assert answer.status_code == 200
    counts = [shown[name] for name in ("created", "updated", "unchanged", "kept", "replaced")]
    assert counts == [1, 1, 1, 0, 0]
    assert shown["names"] == ["batch-1", "batch-2", "batch-3"]
    second, third = shown["items"]
    assert (second["name"], second["result"]) == ("batch-2", "updated")
    assert second["fire_times"]["counts"]["move"] > 80
    assert len(second["fire_times"]["move"]) == 10
    assert third["fire_times"]["counts"]["appear"] == 200
    assert third["fire_times"]["truncated"]


@shares_service
@on_both
def test_an_edit_of_what_fires_every_second_is_bounded(api: Api) -> None:
    api.task("dense", schedule={"type": "interval", "every": 1}, paused=True)

    shown = dry(api, "PATCH", "/v1/tasks/dense", {"schedule": {"every": 2}}).json()

    assert (shown["result"], shown["status"]) == ("updated", "paused")
    assert shown["fire_times"]["truncated"]
    assert shown["fire_times"]["compared_until"] < shown["fire_times"]["until"]


def test_a_dry_run_is_within_the_quota_of_a_key_and_takes_none_of_it(guarded: Api) -> None:
    key = {"name": "team", "scopes": ["tasks:write"], "tasks": ["team-"], "max_tasks": 2}
    secret = guarded.post("/v1/keys", json=key).json()["key"]
    headers = {"authorization": f"Bearer {secret}"}
    body = {"handler": "echo", "schedule": MANUAL}
    guarded.task("team-1")

    for _ in range(2):
        fits = dry(guarded, "PUT", "/v1/tasks/team-2", body, headers=headers)
        assert fits.json()["result"] == "created"
    three = [body | {"name": f"team-{number}"} for number in range(1, 4)]
    batch = {"items": three, "on_conflict": "update"}
    problem(dry(guarded, "POST", "/v1/tasks/batch", batch, headers=headers), 429, "quota-exceeded")
    guarded.task("team-2")
    problem(dry(guarded, "PUT", "/v1/tasks/team-3", body, headers=headers), 429, "quota-exceeded")


def test_a_dry_run_needs_what_the_real_one_needs(guarded: Api) -> None:
    reads = with_key(guarded, client(Scope.TASKS_READ))
    ours = with_key(guarded, client(Scope.TASKS_WRITE, tasks=OURS))
    guarded.task("theirs-1", schedule=NINE)
    body = {"handler": "echo", "schedule": TEN}

    problem(dry(guarded, "PUT", "/v1/tasks/ours-1", body, headers=reads), 403, "forbidden")
    assert dry(guarded, "PUT", "/v1/tasks/ours-1", body, headers=ours).status_code == 200
    for method in ("PUT", "PATCH"):
        hidden = dry(guarded, method, "/v1/tasks/theirs-1", body, headers=ours)
        problem(hidden, 404, "not-found")
    named = body | {"on_failure": {"task": "theirs-1"}}
    assert pointers(dry(guarded, "PUT", "/v1/tasks/ours-1", named, headers=ours)) == [
        "/on_failure/task"
    ]
