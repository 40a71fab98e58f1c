"""GET /v1/tasks/{name}/explain."""

import re
from functools import partial
from typing import Any, get_args

from rota.domain.chains.fan_in import PredecessorUnavailable, to_finding
from rota.domain.explain.model import MEANINGS
from rota.store.handlers import Announce, HandlerInfo
from tests.api.handlers import open_gate, wait_entered
from tests.api.marks import on_both
from tests.api.service import YEARLY, Api, pointers, problem
from tests.domain.lint.test_rules import ALL_CODES
from tests.support.factories import eventually

FIELDS = ["at", "expected", "verdict", "reason", "message", "run", "warnings"]


def why(api: Api, name: str = "t", at: str | None = None) -> dict[str, Any]:
    query = "" if at is None else f"?at={at.replace('+', '%2B')}"
    return api.read(f"/v1/tasks/{name}/explain{query}")


def verdict(api: Api, *args: Any) -> str:
    return str(why(api, *args)["verdict"])


@on_both
def test_a_task_is_explained_at_each_stage_of_its_life(api: Api) -> None:
    task = api.task("t", handler="hold", schedule=YEARLY)
    ahead = task["next_fire_at"]

    idle = why(api)
    assert list(idle) == FIELDS
    assert (idle["verdict"], idle["expected"], idle["run"]) == ("not_due", False, None)
    assert ahead in idle["message"]
    future = why(api, "t", ahead)
    assert (future["at"], future["verdict"], future["expected"]) == (ahead, "in_future", True)
    assert verdict(api, "t", "2020-01-01T00:00:00+01:00") == "before_registration"

    run = api.run("t")
    wait_entered("t")
    busy = why(api)
    assert (busy["verdict"], busy["run"]["id"]) == ("running", run["id"])
    assert "attempts" not in busy["run"]
    open_gate("t")
    ended = api.ended(run)
    ran = why(api, "t", ended["scheduled_for"])
    assert (ran["verdict"], ran["run"]["id"]) == ("ran", run["id"])

    api.post("/v1/tasks/t/pause", json={"reason": "moving"})
    paused = why(api)
    assert (paused["verdict"], paused["reason"]) == ("paused", "moving")
    assert (verdict(api, "t", ahead), why(api, "t", ahead)["expected"]) == ("paused", True)
    api.post("/v1/tasks/t/cancel")
    assert (verdict(api), verdict(api, "t", ahead)) == ("cancelled", "cancelled")


def test_a_failed_run_is_explained_by_its_error(api: Api) -> None:
    api.task("t", handler="refuse")
    run = api.ended(api.run("t"))

    found = why(api, "t", run["scheduled_for"])

    assert (found["verdict"], found["reason"]) == ("failed", "fatal")
    assert "no such customer" in found["message"]


def test_a_handler_without_a_live_replica_is_warned_of_and_explained(api: Api) -> None:
    services = api.app.state.services
    info = HandlerInfo(
        name="lost", description="", input_schema=None, timeout=None, isolation="none"
    )
    api.portal.call(services.writer.run, Announce((info,)))
    body = {"handler": "lost", "schedule": {"type": "manual"}}

    made = api.put("/v1/tasks/t", json=body)
    run = api.run("t")

    assert [each["code"] for each in made.json()["warnings"]] == ["handler_missing"]
    assert run["waiting_on"] == ["handler"]
    found = why(api)
    assert (found["verdict"], found["reason"]) == ("blocked", "handler")
    assert "'lost' (1 live replica)" in found["message"]
    assert [each["code"] for each in found["warnings"]] == ["handler_missing"]
    known = api.put("/v1/tasks/known", json=body | {"handler": "echo"})
    assert known.json()["warnings"] == []


def test_an_explanation_repeats_the_warnings_of_the_registration(api: Api) -> None:
    body = {"handler": "echo", "schedule": {"type": "cron", "expression": "0 0 31 * *"}}

    made = api.put("/v1/tasks/t", json=body).json()

    assert why(api)["warnings"] == made["warnings"]
    assert [each["code"] for each in made["warnings"]] == ["month_end"]


def test_an_unknown_task_or_an_invalid_time_is_refused(api: Api) -> None:
    api.task("t")

    problem(api.get("/v1/tasks/nobody/explain"), 404, "not-found")
    for at in ("yesterday", "2026-02-30", "2026-01-01T25:00:00", "2026-01", ""):
        refused = api.get(f"/v1/tasks/t/explain?at={at}")
        assert refused.status_code == 422
        assert pointers(refused) == ["at"]


def test_an_error_of_an_unescaped_plus_explains_how_to_write_it(api: Api) -> None:
    api.task("t", kv_history=5)
    api.put("/v1/tasks/t/kv/a", json={"value": 1})

    for path in (
        "tasks/t/explain?at",
        "tasks/t/runs?scheduled_from",
        "runs?scheduled_to",
        "tasks/t/kv?at",
    ):
        refused = api.get(f"/v1/{path}=2026-11-25T08:00:00+01:00")
        assert refused.status_code == 422
        assert "'%2B', as in '2026-11-25T08:00:00%2B01:00'" in refused.json()["detail"]
        accepted = api.get(f"/v1/{path}=2026-11-25T08:00:00%2B01:00")
        assert accepted.status_code == 200


def test_a_date_and_a_local_time_are_in_the_time_zone_of_the_task(api: Api) -> None:
    schedule = {"type": "cron", "expression": "30 9 * * *", "timezone": "America/New_York"}
    api.task("t", schedule=schedule)

    day = why(api, "t", "2999-07-01")
    local = why(api, "t", "2999-07-01T09:30")

    assert day["at"] == local["at"] == "2999-07-01T13:30:00.000Z"
    assert day["verdict"] == local["verdict"] == "in_future"
    assert why(api, "t", "2999-07-01T09:31:00.5")["verdict"] == "not_scheduled"
    assert verdict(api, "t", "2001-07-01") == "before_registration"


def test_a_day_without_fire_times_is_explained_as_a_whole(api: Api) -> None:
    api.task(
        "t", schedule={"type": "cron", "expression": "30 9 * * 1", "timezone": "Europe/Berlin"}
    )

    found = why(api, "t", "2999-07-02")  # a Tuesday

    assert found["verdict"] == "not_scheduled"
    span = "from 2999-07-01T22:00:00.000Z until before 2999-07-02T22:00:00.000Z"
    assert found["message"].startswith(f"The schedule has no fire time {span}: ")


def test_the_runs_of_a_day_are_those_of_the_day_in_the_time_zone_of_the_task(api: Api) -> None:
    api.task(
        "t",
        schedule={"type": "cron", "expression": "0 0 1 1 *", "timezone": "Asia/Tokyo"},
        overlap_policy="allow",
    )
    api.task("other")
    late, early = (
        api.run("t", scheduled_for=f"2026-01-{day}T{hour}:30:00Z")["id"]
        for day, hour in (("01", 15), ("01", 14))
    )  # half past midnight of the 2nd in Tokyo, and an hour before it

    def listed(query: str, path: str = "tasks/t/runs") -> list[str]:
        return [each["id"] for each in api.items(f"/v1/{path}?{query}")]

    assert listed("scheduled_from=2026-01-02") == [late]
    assert listed("scheduled_to=2026-01-01") == [early]
    assert listed("scheduled_from=2026-01-02&scheduled_to=2026-01-02") == [late]
    assert listed("task=t&scheduled_from=2026-01-02T00:30", "runs") == [late]
    for query in ("scheduled_from=2026-01-02", "task=t,other&scheduled_from=2026-01-02"):
        refused = api.get(f"/v1/runs?{query}")
        assert refused.status_code == 422
        assert pointers(refused) == ["scheduled_from"]
        assert "exactly one task that exists" in refused.json()["detail"]


def test_the_warnings_of_a_cancelled_task_are_those_of_its_schedule(api: Api) -> None:
    api.task("t", schedule={"type": "cron", "expression": "*/7 * * * *"})
    api.post("/v1/tasks/t/cancel")

    assert [each["code"] for each in why(api)["warnings"]] == ["uneven_interval"]


def test_the_document_explains_each_verdict(api: Api) -> None:
    schema = api.read("/openapi.json")["components"]["schemas"]["ExplanationOut"]

    described = schema["properties"]["verdict"]["description"]

    assert all(f"`{name}`: {meaning}" in described for name, meaning in MEANINGS.items())


def test_the_document_names_every_warning(api: Api) -> None:
    schema = api.read("/openapi.json")["components"]["schemas"]["WarningOut"]

    named = re.findall(r"`(\w+)`", schema["properties"]["code"]["description"])

    others = {"excluded", "handler_missing", "timeout_longer_than_interval", "unplannable"}
    others |= {"encoded_twice", "literal_template", "no_public_url", "no_retry", "plain_secret"}
    others |= {"too_costly", "nobody_notified"}
    others |= {"notified_cancelled", "notified_missing", "notified_paused"}
    absent = {
        to_finding(PredecessorUnavailable("a", why)).code
        for why in get_args(PredecessorUnavailable.__annotations__["why"])
    }
    assert named == sorted(ALL_CODES | others | absent)


@on_both
def test_a_task_that_waits_for_its_turn_is_explained_while_it_waits(api: Api) -> None:
    api.put("/v1/queues/slow", json={"paused": True})
    api.task("t", queue="slow")
    run = api.run("t")

    waiting = why(api)

    assert (waiting["verdict"], waiting["reason"]) == ("waiting", "queue_paused")
    api.put("/v1/queues/slow", json={"paused": False})
    eventually(partial(_has_run, api, run["id"]))


def _has_run(api: Api, id: str) -> bool:
    return bool(why(api)["verdict"] == "not_scheduled") and bool(
        api.read(f"/v1/runs/{id}")["status"] == "succeeded"
    )
