"""pause, resume, cancel, run and upcoming."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.api.handlers import open_gate, wait_entered
from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, YEARLY, Api, pointers, problem
from tests.support.factories import eventually

EVERY_SECOND = {"type": "interval", "every": 1}


def act(api: Api, verb: str, **body: Any) -> Any:
    return api.post(f"/v1/tasks/t/{verb}", json=body)


# ------------------------------------------------------------------------------------------------------- pause
def test_a_paused_task_shows_by_whom_and_why(api: Api) -> None:
    before = api.task("t", schedule=YEARLY)

    paused = act(api, "pause", reason="the API is being moved").json()

    assert (paused["status"], paused["status_reason"]) == ("paused", "the API is being moved")
    assert paused["status_changed_by"] == "local"
    assert paused["status_changed_at"] >= before["status_changed_at"]
    assert paused["next_fire_at"] is None
    assert paused["generation"] == before["generation"]
    assert api.read("/v1/tasks/t") == paused


def test_pausing_needs_no_body(api: Api) -> None:
    api.task("t")

    assert api.post("/v1/tasks/t/pause").json()["status"] == "paused"
    assert api.post("/v1/tasks/t/resume").json()["status"] == "active"


@on_both
def test_a_paused_task_does_not_fire_and_its_waiting_runs_wait(api: Api) -> None:
    api.task("t", handler="hold", schedule=EVERY_SECOND, overlap_policy="allow")
    waiting = api.run("t", scheduled_for="2999-01-01T00:00:00Z")

    act(api, "pause")

    blocked = api.read(f"/v1/runs/{waiting['id']}")
    assert (blocked["status"], blocked["waiting_on"]) == ("blocked", ["paused"])
    act(api, "resume")
    again = api.read(f"/v1/runs/{waiting['id']}")
    assert (again["status"], again["waiting_on"]) == ("queued", [])


@on_both
@pytest.mark.parametrize("catch_up", ["none", "once"])
def test_the_gap_of_a_pause_is_one_skipped_run(api: Api, catch_up: str) -> None:
    api.task("t", schedule=EVERY_SECOND, paused=True)
    created_at = instant(api.read("/v1/tasks/t")["created_at"])
    eventually(lambda: datetime.now(UTC) > created_at + timedelta(seconds=2.1))

    resumed = act(api, "resume", catch_up=catch_up).json()
    act(api, "pause")

    # However slow the machine is, the gap ends where the next fire time begins.
    following = instant(resumed["next_fire_at"])
    last = following - timedelta(seconds=1)
    passed = (last - created_at) // timedelta(seconds=1)
    gap, *rest = api.items("/v1/tasks/t/runs")[::-1]
    assert passed >= 2
    assert (gap["status"], gap["reason"]) == ("skipped", "paused")
    assert instant(gap["scheduled_for"]) == created_at + timedelta(seconds=1)
    assert gap["count"] == (passed if catch_up == "none" else passed - 1)
    caught_up = [instant(run["scheduled_for"]) for run in rest if run["reason"] != "overlap"]
    assert [at for at in caught_up if at < following] == ([] if catch_up == "none" else [last])


def test_resuming_an_active_task_changes_nothing(api: Api) -> None:
    before = api.task("t", schedule=YEARLY)

    assert act(api, "resume").json() == before


def test_a_paused_one_off_whose_time_has_passed_completes_on_resume(api: Api) -> None:
    api.task("t", schedule={"type": "once", "delay": 0}, paused=True)

    resumed = act(api, "resume").json()

    assert (resumed["status"], resumed["next_fire_at"]) == ("completed", None)
    (gap,) = api.items("/v1/tasks/t/runs")
    assert (gap["status"], gap["reason"], gap["count"]) == ("skipped", "paused", 1)


@shares_service
@pytest.mark.parametrize("catch_up", ["most", "twice", "", None, 1])
def test_other_catch_ups_are_refused(api: Api, catch_up: Any) -> None:
    api.task("paused", paused=True)

    refused = api.post("/v1/tasks/paused/resume", json={"catch_up": catch_up})

    assert pointers(refused) == ["/catch_up"]
    assert api.read("/v1/tasks/paused")["status"] == "paused"


# ------------------------------------------------------------------------------------------------------ cancel
@on_both
def test_cancelling_ends_unfinished_runs_and_keeps_history_and_kv(api: Api) -> None:
    api.task("t", handler="hold", schedule=YEARLY, overlap_policy="allow")
    api.put("/v1/tasks/t/kv/a", json={"value": 1})
    running, waiting = api.run("t"), api.run("t", scheduled_for="2999-01-01T00:00:00Z")
    wait_entered("t")

    cancelled = act(api, "cancel").json()

    assert (cancelled["status"], cancelled["next_fire_at"]) == ("cancelled", None)
    for run in (running, waiting):
        ended = api.ended(run)
        assert (ended["status"], ended["reason"]) == ("cancelled", "task_cancelled")
        assert ended["cancel_requested_at"] is not None
    assert api.read("/v1/tasks/t/kv/a")["value"] == 1
    assert act(api, "cancel").json()["status"] == "cancelled"


@shares_service
@pytest.mark.parametrize("verb", ["pause", "resume", "run"])
def test_a_cancelled_task_accepts_only_a_registration(api: Api, verb: str) -> None:
    api.task("t")
    act(api, "cancel")

    refused = problem(act(api, verb), 409, "wrong-status")

    assert refused["task"]["status"] == "cancelled"
    assert api.task("t")["status"] == "active"


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_completed_task_accepts_only_a_registration(api: Api, verb: str) -> None:
    api.task("t", schedule={"type": "once", "delay": 0})
    eventually(lambda: api.read("/v1/tasks/t")["status"] == "completed")

    problem(act(api, verb), 409, "wrong-status")


def test_a_completed_task_can_be_run(api: Api) -> None:
    api.task("t", schedule={"type": "once", "delay": 0})
    eventually(lambda: api.read("/v1/tasks/t")["last_run"])

    assert api.ended(api.run("t"))["status"] == "succeeded"


# --------------------------------------------------------------------------------------------------------- run
@on_both
def test_running_a_task_now_is_202_with_the_run_and_its_location(api: Api) -> None:
    api.task("t", input={"a": 1}, priority=4, queue="q")

    answer = api.post("/v1/tasks/t/run")

    run = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/runs/{run['id']}"
    assert (run["task"], run["trigger"], run["attempt"]) == ("t", "manual", 0)
    assert (run["input"], run["priority"], run["queue"]) == ({"a": 1}, 4, "q")
    ended = api.ended(run)
    assert (ended["status"], ended["result"], ended["attempt"]) == ("succeeded", {"a": 1}, 1)
    assert ended["started_at"] >= ended["scheduled_for"]


@shares_service
@pytest.mark.parametrize("input", [{"b": 2}, [], "text", 0, False, None, 5.0, 2**53 + 1])
def test_an_input_replaces_that_of_the_task_for_this_run(api: Api, input: Any) -> None:
    api.task("t", input={"a": 1})

    ended = api.ended(api.run("t", input=input))

    assert (ended["input"], ended["result"]) == (input, input)
    assert type(ended["result"]) is type(input)
    assert api.read("/v1/tasks/t")["input"] == {"a": 1}


def test_a_replaced_input_is_checked_like_that_of_a_task(api: Api) -> None:
    api.task("t", handler="greet", input={"name": "Ada"})

    refused = act(api, "run", input={"name": "Ada", "times": 10})

    problem(refused, 422, "invalid-input")
    assert pointers(refused) == ["/input/times"]
    assert api.items("/v1/tasks/t/runs") == []


def test_a_run_for_a_later_time_waits(api: Api) -> None:
    api.task("t")

    run = api.run("t", scheduled_for="2999-01-01T00:00:00Z")

    assert (run["status"], run["not_before"]) == ("queued", "2999-01-01T00:00:00.000Z")
    assert run["scheduled_for"] == run["not_before"]


def test_a_run_for_a_time_soon_starts_at_that_time(api: Api) -> None:
    api.task("t")
    at = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()

    ended = api.ended(api.run("t", scheduled_for=at))

    assert ended["started_at"] >= ended["scheduled_for"]
    assert 0 <= ended["lateness"] < 5


@shares_service
@pytest.mark.parametrize("at", [None, "now", "2026-01-01T00:00:00", 17, "", "2026-13-01T00:00:00Z"])
def test_an_invalid_time_is_refused(api: Api, at: Any) -> None:
    api.task("t")

    refused = act(api, "run", scheduled_for=at)

    assert refused.status_code == 422
    assert pointers(refused) == ["/scheduled_for"]


def test_a_paused_task_can_be_run(api: Api) -> None:
    api.task("t", schedule=YEARLY, paused=True)

    assert api.ended(api.run("t"))["status"] == "succeeded"
    assert api.read("/v1/tasks/t")["status"] == "paused"


@on_both
def test_a_task_that_skips_on_overlap_is_not_run_concurrently(api: Api) -> None:
    api.task("t", handler="hold")
    run = api.run("t")
    wait_entered("t")

    refused = problem(act(api, "run"), 409, "overlap")

    assert refused["run"] == {"id": run["id"], "status": "running"}
    open_gate("t")
    api.ended(run)
    assert api.ended(api.run("t"))["status"] == "succeeded"


def test_a_task_that_allows_overlap_runs_concurrently(api: Api) -> None:
    api.task("t", handler="hold", overlap_policy="allow")
    runs = [api.run("t"), api.run("t")]

    for run in runs:
        eventually(partial(is_running, api, run))
    open_gate("t")
    assert [api.ended(run)["status"] for run in runs] == ["succeeded", "succeeded"]


@on_both
def test_twenty_identical_runs_with_one_key_are_one_run(api: Api) -> None:
    api.task("t")
    call = ("POST", "/v1/tasks/t/run", {"json": {}, "headers": {"Idempotency-Key": '"k"'}})

    answers = api.together([call] * 20)

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(api.items("/v1/tasks/t/runs")) == 1
    other = api.post("/v1/tasks/t/run", json={"input": 1}, headers={"Idempotency-Key": "k"})
    problem(other, 422, "idempotency-key-reused")


# ---------------------------------------------------------------------------------------------------- upcoming
def test_upcoming_returns_the_next_fire_times(api: Api) -> None:
    schedule = {"type": "cron", "expression": "30 9 * * 1-5", "timezone": "Europe/Berlin"}
    task = api.task("t", schedule=schedule)

    times = api.items("/v1/tasks/t/upcoming?count=7")

    assert len(times) == 7
    assert times[0] == task["next_fire_at"]
    assert times == sorted(set(times))
    assert len(api.items("/v1/tasks/t/upcoming")) == 10
    assert len(api.items("/v1/tasks/t/upcoming?count=1000")) == 1000


@shares_service
@pytest.mark.parametrize("count", ["0", "1001", "-1", "x", ""])
def test_upcoming_is_bounded(api: Api, count: str) -> None:
    api.task("t", schedule=YEARLY)

    refused = api.get(f"/v1/tasks/t/upcoming?count={count}")

    assert pointers(refused) == ["count"]


def test_a_task_that_fires_no_more_has_no_upcoming_times(api: Api) -> None:
    api.task("manual", schedule=MANUAL)
    api.task("cancelled", schedule=YEARLY)
    api.post("/v1/tasks/cancelled/cancel")
    api.task("once", schedule={"type": "once", "at": "2999-01-01T00:00:00Z"})

    assert api.items("/v1/tasks/manual/upcoming") == []
    assert api.items("/v1/tasks/cancelled/upcoming") == []
    assert api.items("/v1/tasks/once/upcoming") == ["2999-01-01T00:00:00.000Z"]


def test_a_paused_task_has_upcoming_times_as_if_it_were_resumed_now(api: Api) -> None:
    active = api.task("t", schedule=YEARLY)
    act(api, "pause")

    assert api.items("/v1/tasks/t/upcoming?count=1") == [active["next_fire_at"]]


def is_running(api: Api, run: dict[str, Any]) -> bool:
    return bool(api.read(f"/v1/runs/{run['id']}")["status"] == "running")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
