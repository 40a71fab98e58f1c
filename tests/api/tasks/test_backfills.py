"""Backfill: fire times that have passed are run again."""

from typing import Any

import pytest

from rota.domain import backfills
from rota.domain.primitives.ids import random_id
from tests.api.handlers import open_gate, wait_entered
from tests.api.marks import shares_service
from tests.api.service import MANUAL, YEARLY, Api, pointers, problem
from tests.support.factories import eventually

#: Midnight of every day.
DAILY = {"type": "cron", "expression": "0 0 * * *"}
SPAN = {"from": "2026-01-01T12:00:00Z", "to": "2026-01-05T00:00:00Z"}
DAYS = [f"2026-01-0{day}T00:00:00.000Z" for day in (2, 3, 4, 5)]


def begin(api: Api, name: str = "t", **fields: Any) -> dict[str, Any]:
    answer = api.post(f"/v1/tasks/{name}/backfill", json=SPAN | fields)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def finished(api: Api, id: str, name: str = "t") -> dict[str, Any]:
    """Wait until all runs of a backfill have ended; return it."""

    def ended() -> dict[str, Any] | None:
        read = api.read(f"/v1/tasks/{name}/backfills/{id}")
        runs = api.items(f"/v1/runs?backfill_id={id}&limit=200")
        over = len(runs) == read["made"] and all(run["finished_at"] for run in runs)
        return read if read["finished_at"] and over else None

    return dict(eventually(ended, "the backfill did not end"))


@pytest.fixture
def daily(api: Api) -> Api:
    api.task("t", schedule=DAILY, input={"a": 1})
    return api


def test_a_dry_run_returns_the_fire_times_and_runs_none(daily: Api) -> None:
    for order, shown in (("oldest_first", DAYS), ("newest_first", DAYS[::-1])):
        answer = daily.post("/v1/tasks/t/backfill", json=SPAN | {"dry_run": True, "order": order})

        assert answer.status_code == 200
        assert answer.json() == {"backfill_id": None, "runs": 4, "fire_times": shown}
    assert daily.items("/v1/runs") == daily.items("/v1/tasks/t/backfills") == []


@shares_service
def test_a_dry_run_shows_the_first_hundred(daily: Api) -> None:
    daily.task("often", schedule={"type": "cron", "expression": "* * * * *"})
    body = SPAN | {"dry_run": True}

    first = daily.post("/v1/tasks/often/backfill", json=body).json()
    last = daily.post("/v1/tasks/often/backfill", json=body | {"order": "newest_first"}).json()

    assert first["runs"] == last["runs"] == 3.5 * 24 * 60 + 1
    assert len(first["fire_times"]) == len(last["fire_times"]) == 100
    assert (first["fire_times"][0], last["fire_times"][0]) == (
        SPAN["from"][:-1] + ".000Z",
        DAYS[-1],
    )


def test_every_fire_time_becomes_a_run(daily: Api) -> None:
    answer = daily.post("/v1/tasks/t/backfill", json=SPAN)
    id = answer.json()["backfill_id"]
    assert (answer.status_code, answer.json()) == (202, {"backfill_id": id, "runs": 4})
    assert answer.headers["location"] == f"/v1/tasks/t/backfills/{id}"

    finished(daily, id)

    runs = daily.items(f"/v1/runs?backfill_id={id}")
    assert [run["scheduled_for"] for run in runs] == DAYS[::-1]
    assert {(run["trigger"], run["status"], run["backfill_id"]) for run in runs} == {
        ("backfill", "succeeded", id)
    }
    assert [run["result"] for run in runs] == [{"a": 1}] * 4
    daily.ended(daily.run("t"))
    assert daily.items(f"/v1/tasks/t/runs?backfill_id={id}") == runs
    assert daily.items("/v1/tasks/t/runs?trigger=backfill") == runs


@pytest.mark.parametrize("order", ["oldest_first", "newest_first"])
def test_each_run_builds_on_the_state_of_the_previous_one(api: Api, order: str) -> None:
    api.task("t", schedule=DAILY, handler="count")

    finished(api, begin(api, order=order)["backfill_id"])

    by_time = [run["result"] for run in api.items("/v1/runs")][::-1]
    assert by_time == ([1, 2, 3, 4] if order == "oldest_first" else [4, 3, 2, 1])


def test_a_backfill_shows_its_progress(api: Api) -> None:
    api.task("t", schedule=DAILY, handler="hold")
    id = begin(api, max_concurrent=2, spacing="0s")["backfill_id"]
    wait_entered("t")

    shown = eventually(
        lambda: (read := api.read(f"/v1/tasks/t/backfills/{id}"))["made"] == 2 and read
    )

    assert shown == {
        "id": id,
        "task": "t",
        "from": "2026-01-01T12:00:00.000Z",
        "to": "2026-01-05T00:00:00.000Z",
        "order": "oldest_first",
        "max_concurrent": 2,
        "spacing": 0,
        "runs": 4,
        "made": 2,
        "next_at": DAYS[2],
        "created_at": shown["created_at"],
        "created_by": "local",
        "finished_at": None,
    }
    open_gate("t")
    assert finished(api, id)["made"] == 4


def test_a_backfill_can_be_cancelled(api: Api) -> None:
    api.task("t", schedule=DAILY, handler="hold")
    id = begin(api)["backfill_id"]
    wait_entered("t")

    cancelled = api.post(f"/v1/tasks/t/backfills/{id}/cancel")

    assert cancelled.status_code == 200
    assert cancelled.json()["finished_at"] is not None
    (run,) = api.items(f"/v1/runs?backfill_id={id}")
    assert api.ended(run)["status"] == "cancelled"
    assert api.read(f"/v1/tasks/t/backfills/{id}")["made"] == 1
    assert api.read("/v1/tasks/t")["status"] == "active"


def test_backfills_are_listed_newest_first(daily: Api) -> None:
    ids = [begin(daily)["backfill_id"] for _ in range(3)]

    first = daily.read("/v1/tasks/t/backfills?limit=2")
    rest = daily.read(f"/v1/tasks/t/backfills?limit=2&cursor={first['next_cursor']}")

    listed = [each["id"] for page in (first, rest) for each in page["items"]]
    assert listed == ids[::-1]
    assert rest["next_cursor"] is None
    problem(daily.get("/v1/tasks/t/backfills?cursor=WyJ4Il0"), 422, "invalid-cursor")


def test_the_same_key_begins_one_backfill(daily: Api) -> None:
    headers = {"idempotency-key": "k"}

    first = daily.post("/v1/tasks/t/backfill", json=SPAN, headers=headers)
    again = daily.post("/v1/tasks/t/backfill", json=SPAN, headers=headers)
    body = SPAN | {"order": "newest_first"}
    other = daily.post("/v1/tasks/t/backfill", json=body, headers=headers)

    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    problem(other, 422, "idempotency-key-reused")
    assert len(daily.items("/v1/tasks/t/backfills")) == 1


@shares_service
@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"from": "2026-01-06T00:00:00Z"}, "/from"),
        ({"to": "2999-01-01T00:00:00Z"}, "/to"),
        ({"to": "2026-01-05T00:00:00"}, "/to"),
        ({"to": None}, "/to"),
        ({"order": "random"}, "/order"),
        ({"max_concurrent": 0}, "/max_concurrent"),
        ({"max_concurrent": 1001}, "/max_concurrent"),
        ({"max_concurrent": 1.5}, "/max_concurrent"),
        ({"spacing": -1}, "/spacing"),
        ({"spacing": "367d"}, "/spacing"),  # the runs of one commit would lead beyond all years
        ({"dry_run": "yes"}, "/dry_run"),
        ({"input": {}}, "/input"),
    ],
)
def test_an_invalid_body_is_refused(daily: Api, fields: dict[str, Any], pointer: str) -> None:
    refused = daily.post("/v1/tasks/t/backfill", json=SPAN | fields)

    problem(refused, 422, "invalid")
    assert pointers(refused) == [pointer]


@shares_service
def test_a_backfill_of_too_many_fire_times_is_refused(
    daily: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfills, "MOST_FIRE_TIMES", 3)

    refused = daily.post("/v1/tasks/t/backfill", json=SPAN | {"dry_run": True})

    assert "more than 3 fire times" in problem(refused, 422, "invalid")["detail"]
    assert pointers(refused) == ["/to"]


@shares_service
@pytest.mark.parametrize(
    "schedule",
    [
        MANUAL,
        {"type": "after", "tasks": ["first"]},
        {"type": "interval", "every": "1h", "mode": "fixed_delay"},
    ],
    ids=lambda schedule: str(schedule["type"]),
)
def test_a_backfill_of_a_task_without_fire_times_is_refused(
    api: Api, schedule: dict[str, Any]
) -> None:
    api.task("first")
    api.task("t", schedule=schedule)

    refused = api.post("/v1/tasks/t/backfill", json=SPAN)

    assert "no fire times of its own" in problem(refused, 422, "invalid")["detail"]


def test_max_runs_does_not_limit_a_backfill(api: Api) -> None:
    api.task("t", schedule=DAILY | {"max_runs": 1})

    assert begin(api)["runs"] == 4


@shares_service
def test_excluded_fire_times_are_not_backfilled(api: Api) -> None:
    api.task("t", schedule=DAILY | {"exclude": ["2026-01-03", "2026-01-04"]})

    answer = api.post("/v1/tasks/t/backfill", json=SPAN | {"dry_run": True})

    assert answer.json()["fire_times"] == [DAYS[0], DAYS[3]]


def test_a_cancelled_task_is_not_backfilled_and_a_paused_one_waits(daily: Api) -> None:
    daily.post("/v1/tasks/t/pause")
    id = begin(daily)["backfill_id"]

    run = eventually(lambda: daily.items(f"/v1/runs?backfill_id={id}"))[0]
    assert (run["status"], run["waiting_on"]) == ("blocked", ["paused"])

    daily.post("/v1/tasks/t/cancel")
    problem(daily.post("/v1/tasks/t/backfill", json=SPAN), 409, "wrong-status")
    assert daily.read(f"/v1/tasks/t/backfills/{id}")["finished_at"] is not None


def test_an_unknown_task_or_backfill_is_404(daily: Api) -> None:
    daily.task("other", schedule=YEARLY)
    id = begin(daily)["backfill_id"]

    for answer in (
        daily.post("/v1/tasks/missing/backfill", json=SPAN),
        daily.get("/v1/tasks/missing/backfills"),
        daily.get(f"/v1/tasks/t/backfills/{random_id()}"),
        daily.get(f"/v1/tasks/other/backfills/{id}"),
        daily.post(f"/v1/tasks/other/backfills/{id}/cancel"),
    ):
        problem(answer, 404, "not-found")
