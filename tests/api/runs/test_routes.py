"""Runs: list, read, wait, cancel, run again."""

import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.domain.primitives.ids import random_id
from tests.api.handlers import close_gate, open_gate, wait_entered
from tests.api.marks import on_both, shares_service
from tests.api.service import YEARLY, Api, pointers, problem
from tests.api.tasks.test_list import walk
from tests.handlers.target import serving
from tests.support.factories import eventually

pytestmark = on_both

FAR = "2999-01-01T00:00:00.000Z"


def later(api: Api, name: str, *days: int) -> list[str]:
    """Make runs that wait for days to come; return their ids."""
    start = datetime(2999, 1, 1, tzinfo=UTC)
    times = [(start + timedelta(days=day)).isoformat() for day in days]
    return [api.run(name, scheduled_for=at)["id"] for at in times]


def ids(api: Api, query: str = "", path: str = "/v1/runs") -> list[str]:
    return [run["id"] for run in api.items(f"{path}?{query}")]


# -------------------------------------------------------------------------------------------------------- read
def test_a_run_shows_its_outcome(api: Api) -> None:
    task = api.task("t", input={"a": 1})

    run = api.ended(api.run("t"))

    (attempt,) = run["attempts"]
    assert attempt == {
        "attempt": 1,
        "outcome": "succeeded",
        "counted": False,
        "started_at": run["started_at"],
        "finished_at": run["finished_at"],
        "error": None,
        "timings": None,
    }
    assert run["task_generation"] == task["generation"]
    assert (run["failures"], run["error"], run["reason"]) == (0, None, None)
    assert run["lateness"] >= 0
    assert run["duration"] >= 0
    assert run["created_at"] <= run["started_at"] <= run["finished_at"]


def test_a_failed_run_shows_its_error(api: Api) -> None:
    api.task("t", handler="refuse")

    run = api.ended(api.run("t"))

    assert (run["status"], run["reason"], run["failures"]) == ("failed", "fatal", 1)
    assert run["error"] == {
        "type": "fail",
        "message": "no such customer",
        "traceback": None,
        "response": None,
        "phase": None,
        "timings": None,
    }
    assert run["result"] is None


def test_a_run_shows_each_attempt(api: Api) -> None:
    retry = {"max_attempts": 3, "initial_interval": 0, "jitter": False}
    api.task("t", handler="fail", retry=retry)

    run = api.ended(api.run("t"))

    assert (run["status"], run["reason"]) == ("failed", "attempts_exhausted")
    assert (run["attempt"], run["failures"]) == (3, 3)
    assert [each["attempt"] for each in run["attempts"]] == [1, 2, 3]
    assert {each["outcome"] for each in run["attempts"]} == {"failed"}
    assert run["error"]["type"] == "ValueError"
    assert "broken" in run["error"]["traceback"]


def test_a_retry_that_the_handler_requested_succeeds_later(api: Api) -> None:
    api.task("t", handler="again")

    run = api.ended(api.run("t"))

    assert (run["status"], run["result"]) == ("succeeded", 2)
    assert [each["outcome"] for each in run["attempts"]] == ["retry", "succeeded"]
    assert run["attempts"][0]["error"]["message"] == "not yet"


def test_a_waiting_retry_is_queued_with_its_not_before(api: Api) -> None:
    api.task("t", handler="fail", retry={"initial_interval": "1h", "jitter": False})
    run = api.run("t")

    from tests.support.factories import eventually

    waiting = eventually(
        lambda: (read := api.read(f"/v1/runs/{run['id']}"))["failures"] == 1 and read
    )

    assert waiting["status"] == "queued"
    assert waiting["not_before"] > waiting["created_at"]
    assert waiting["finished_at"] is None


@shares_service
def test_an_unknown_run_is_404(api: Api) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/rerun"), ("GET", "/logs")):
        problem(api.call(method, f"/v1/runs/{random_id()}{path}"), 404, "not-found")
    problem(api.get(f"/v1/runs/{random_id()}?wait=1"), 404, "not-found")
    problem(api.get(f"/v1/runs/{random_id()}/logs?follow=true"), 404, "not-found")


@shares_service
def test_a_malformed_id_is_refused(api: Api) -> None:
    for id in ("x", "1", "batch", f"{random_id()}x", "%00"):
        refused = api.get(f"/v1/runs/{id}")
        problem(refused, 422, "invalid")
        assert pointers(refused) == ["id"]


# -------------------------------------------------------------------------------------------------------- wait
def test_a_wait_ends_when_the_run_ends(api: Api) -> None:
    api.task("t", handler="hold")
    run = api.run("t")
    wait_entered("t")
    open_gate("t")

    began = time.monotonic()
    read = api.read(f"/v1/runs/{run['id']}?wait=60")

    assert read["status"] == "succeeded"
    assert time.monotonic() - began < 30


def test_a_wait_ends_at_its_timeout(api: Api) -> None:
    api.task("t")
    run = api.run("t", scheduled_for=FAR)

    began = time.monotonic()
    read = api.read(f"/v1/runs/{run['id']}?wait=0.3")

    assert read["status"] == "queued"
    assert 0.3 <= time.monotonic() - began < 10


def test_many_can_wait_for_one_run(api: Api) -> None:
    api.task("t", handler="again")
    run = api.run("t")

    answers = api.together([("GET", f"/v1/runs/{run['id']}?wait=30", {})] * 20)

    assert {answer.json()["status"] for answer in answers} == {"succeeded"}


@shares_service
@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "x", "", "1h"])
def test_a_wait_is_bounded(api: Api, wait: str) -> None:
    api.task("t", overlap_policy="allow")
    run = api.run("t", scheduled_for=FAR)

    refused = api.get(f"/v1/runs/{run['id']}?wait={wait}")

    problem(refused, 422, "invalid")
    assert pointers(refused) == ["wait"]


# ------------------------------------------------------------------------------------------------------ cancel
def test_a_waiting_run_is_cancelled_at_once(api: Api) -> None:
    api.task("t")
    run = api.run("t", scheduled_for=FAR)

    answer = api.post(f"/v1/runs/{run['id']}/cancel")

    cancelled = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/runs/{run['id']}"
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "requested")
    assert cancelled["cancel_requested_at"] == cancelled["finished_at"]
    assert cancelled["attempts"] == api.read(f"/v1/runs/{run['id']}")["attempts"] == []


def test_cancelling_a_running_run_requests_its_end(api: Api) -> None:
    api.task("t", handler="hold")
    run = api.run("t")
    wait_entered("t")

    cancelled = api.post(f"/v1/runs/{run['id']}/cancel").json()

    assert cancelled["cancel_requested_at"] is not None
    ended = api.ended(run)
    assert (ended["status"], ended["reason"]) == ("cancelled", "requested")
    assert ended["attempts"][-1]["attempt"] == 1


def test_the_response_to_a_cancellation_shows_the_running_attempt(api: Api) -> None:
    api.task("t", handler="hold")
    run = api.run("t")
    wait_entered("t")

    cancelled = api.post(f"/v1/runs/{run['id']}/cancel").json()

    assert [each["attempt"] for each in cancelled["attempts"]] == [1]


def test_a_finished_run_is_not_cancelled(api: Api) -> None:
    api.task("t")
    run = api.ended(api.run("t"))

    refused = problem(api.post(f"/v1/runs/{run['id']}/cancel"), 409, "wrong-status")

    assert refused["run"] == {"id": run["id"], "status": "succeeded"}
    assert api.read(f"/v1/runs/{run['id']}") == run


# ------------------------------------------------------------------------------------------------------- rerun
def test_a_finished_run_is_run_again_as_it_was(api: Api) -> None:
    api.task("t")
    run = api.ended(api.run("t", input={"a": 2}))
    api.task("t", input={"a": 3})

    answer = api.post(f"/v1/runs/{run['id']}/rerun")

    again = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/runs/{again['id']}"
    assert (again["trigger"], again["rerun_of"]) == ("rerun", run["id"])
    assert again["scheduled_for"] == run["scheduled_for"]
    assert (again["input"], again["task_generation"]) == ({"a": 2}, 2)
    assert api.ended(again)["result"] == {"a": 2}


def test_a_run_is_run_again_with_another_input_and_the_audit_log_says_so(api: Api) -> None:
    api.task("t", handler="greet", input={"name": "Ada"})
    run = api.ended(api.run("t"))
    path = f"/v1/runs/{run['id']}/rerun"

    refused = problem(api.post(path, json={"input": {"name": 5}}), 422, "invalid-input")
    again = api.ended(api.post(path, json={"input": {"name": "Grace"}}).json())
    same = api.ended(api.post(path, json={}).json())

    assert refused["errors"][0]["pointer"] == "/input/name"
    assert (again["input"], again["rerun_of"]) == ({"name": "Grace"}, run["id"])
    assert same["input"] == {"name": "Ada"}
    logged = [each["data"] for each in api.items("/v1/audit?action=run.repeated")]
    assert [each["details"] for each in logged] == [None, {"input": "replaced"}]
    assert {each["after"]["rerun_of"] for each in logged} == {run["id"]}


def test_another_input_of_a_secret_one_is_secret(api: Api) -> None:
    api.task("t", handler="echo", input={"a": 1})
    run = api.ended(api.run("t"))

    null = api.post(f"/v1/runs/{run['id']}/rerun", json={"input": None}).json()

    assert null["input"] is None
    problem(api.post(f"/v1/runs/{run['id']}/rerun", json={"inptu": 1}), 422, "invalid")


def test_an_unfinished_run_is_not_run_again(api: Api) -> None:
    api.task("t", overlap_policy="allow")
    run = api.run("t", scheduled_for=FAR)

    refused = problem(api.post(f"/v1/runs/{run['id']}/rerun"), 409, "wrong-status")

    assert refused["run"] == {"id": run["id"], "status": "queued"}


def test_a_rerun_respects_overlap_and_the_status_of_its_task(api: Api) -> None:
    api.task("t", handler="hold")
    run = api.run("t")
    wait_entered("t")
    open_gate("t")
    run = api.ended(run)
    close_gate("t")
    again = api.run("t")
    wait_entered("t")

    busy = problem(api.post(f"/v1/runs/{run['id']}/rerun"), 409, "overlap")
    api.post("/v1/tasks/t/cancel")
    problem(api.post(f"/v1/runs/{run['id']}/rerun"), 409, "wrong-status")

    open_gate("t")
    assert busy["run"]["id"] == again["id"]


def test_identical_reruns_with_one_key_are_one_run(api: Api) -> None:
    api.task("t")
    run = api.ended(api.run("t"))
    call = ("POST", f"/v1/runs/{run['id']}/rerun", {"headers": {"Idempotency-Key": "k"}})

    answers = api.together([call] * 10)

    assert {answer.status_code for answer in answers} == {202}
    assert len(api.items("/v1/tasks/t/runs")) == 2


# ----------------------------------------------------------------------------------------------------- lineage
def test_a_run_names_the_runs_that_fed_it_and_those_that_it_fed(api: Api) -> None:
    api.task("a")
    api.task("b", schedule={"type": "after", "tasks": ["a"]})
    first = api.ended(api.run("a"))
    (second,) = eventually(lambda: api.items("/v1/tasks/b/runs?status=succeeded"))
    again = api.ended(api.post(f"/v1/runs/{second['id']}/rerun").json())

    read = {each: api.read(f"/v1/runs/{each}") for each in (first["id"], second["id"], again["id"])}

    assert read[first["id"]]["fed"] == [{"id": second["id"], "task": "b", "kind": "after"}]
    assert read[second["id"]]["fed_by"] == [{"id": first["id"], "task": "a", "kind": "after"}]
    assert read[again["id"]]["fed_by"] == [{"id": second["id"], "task": "b", "kind": "rerun"}]
    assert {each["chain_id"] for each in read.values()} == {first["id"]}
    assert set(ids(api, f"chain_id={first['id']}")) == read.keys()
    graph = api.read(f"/v1/runs/{second['id']}/lineage")
    assert {each["id"] for each in graph["runs"]} == read.keys()
    assert [(each["fed_by"], each["run"], each["kind"]) for each in graph["links"]] == [
        (first["id"], second["id"], "after"),
        (second["id"], again["id"], "rerun"),
    ]
    assert graph["is_complete"]


# ------------------------------------------------------------------------------------------------------ groups
def test_failures_are_grouped_by_their_errors(api: Api) -> None:
    api.task("a", handler="refuse", overlap_policy="allow")
    api.task("b", handler="refuse", overlap_policy="allow")
    runs = [api.ended(api.run(name)) for name in ("a", "a", "b")]
    api.task("fine")
    api.ended(api.run("fine"))

    found = api.read("/v1/runs/groups")
    (group,) = found["items"]

    assert (found["groups"], found["failures"], found["is_complete"]) == (1, 3, True)
    assert (group["type"], group["count"], group["tasks_total"]) == (runs[0]["error"]["type"], 3, 2)
    assert group["tasks"] == [{"task": "a", "count": 2}, {"task": "b", "count": 1}]
    assert group["example"] == runs[-1]["id"]
    assert group["first_seen"] <= group["last_seen"] == runs[-1]["finished_at"]
    by_task = api.read("/v1/runs/groups?by=error,task&limit=1")
    assert [(each["task"], each["count"]) for each in by_task["items"]] == [("a", 2)]
    assert by_task["groups"] == 2
    assert api.read("/v1/runs/groups?task=b")["failures"] == 1
    assert api.read("/v1/runs/groups?window=7d")["failures"] == 3
    assert api.read("/v1/runs/groups?finished_to=2000-01-01T00:00:00Z")["items"] == []


def test_runs_are_found_by_a_text_in_their_error(api: Api) -> None:
    api.task("refusing", handler="refuse")
    api.task("failing", handler="fail", retry={"max_attempts": 1})
    refused, failed = (api.ended(api.run(name)) for name in ("refusing", "failing"))

    assert ids(api, "error_text=SUCH%20CUSTOMER") == [refused["id"]]
    assert ids(api, "error_text=%25") == []
    assert api.read("/v1/runs/groups?error_text=broken")["items"][0]["example"] == failed["id"]
    selector = {"error_text": "such customer", "status": ["failed"]}
    preview = api.post("/v1/runs/rerun", json={"selector": selector, "dry_run": True}).json()
    assert [each["run"] for each in preview["items"]] == [refused["id"]]


@shares_service
@pytest.mark.parametrize("path", ["/v1/runs", "/v1/runs/groups", "/v1/tasks"])
def test_no_more_tags_are_wanted_together_than_a_task_can_have(api: Api, path: str) -> None:
    """A thousand were conditions that SQLite did not take, and so a 503 after a second."""
    many = [f"t{number}" for number in range(1_200)]
    assert api.get(f"{path}?all_tags={','.join(many[:32])}").status_code == 200
    for wanted in (many[:33], many):
        refused = problem(api.get(f"{path}?all_tags={','.join(wanted)}"), 422, "invalid-filter")
        assert "at most 32 tags" in refused["detail"]


@shares_service
@pytest.mark.parametrize(
    "query", ["by=day", "window=week", "window=1h&finished_from=2026-01-01T00:00:00Z"]
)
def test_groups_of_a_wrong_kind_are_refused(api: Api, query: str) -> None:
    problem(api.get(f"/v1/runs/groups?{query}"), 422, "invalid-filter")


# -------------------------------------------------------------------------------------------------------- list
def test_a_list_has_its_total_on_request(api: Api) -> None:
    api.task("t", overlap_policy="allow", tags=["x"])
    later(api, "t", 0, 1, 2)

    page = api.read("/v1/runs?limit=1&total=true")

    assert (len(page["items"]), page["total"], page["total_is_exact"]) == (1, 3, True)
    assert api.read("/v1/tasks/t/runs?status=failed&total=true")["total"] == 0
    assert api.read("/v1/tasks?total=true&tag=x")["total"] == 1
    assert api.read("/v1/runs").keys() == {"items", "next_cursor"}


def test_runs_are_listed_newest_scheduled_for_first(api: Api) -> None:
    api.task("a", overlap_policy="allow")
    api.task("b", overlap_policy="allow")
    first = later(api, "a", 1, 5, 3)
    second = later(api, "b", 4, 2)

    assert ids(api) == [first[1], second[0], first[2], second[1], first[0]]
    assert ids(api, path="/v1/tasks/a/runs") == [first[1], first[2], first[0]]


def test_runs_of_one_time_are_listed_newest_first_and_once(api: Api) -> None:
    api.task("t", overlap_policy="allow")
    made = later(api, "t", 2, *[1] * 11)

    pages = list(walk(api, "/v1/runs?limit=5"))

    assert [len(page) for page in pages] == [5, 5, 2]
    assert [run["id"] for page in pages for run in page] == [made[0], *reversed(made[1:])]


def test_pages_have_each_run_once_while_others_are_created(api: Api) -> None:
    api.task("t", overlap_policy="allow")
    made = later(api, "t", *range(10, 20))

    seen: list[str] = []
    for number, page in enumerate(walk(api, "/v1/tasks/t/runs?limit=3")):
        seen += [run["id"] for run in page]
        later(api, "t", 5 + number, 15, 25)

    assert len(seen) == len(set(seen))
    assert set(made) <= set(seen)


def test_lists_leave_out_the_attempts(api: Api) -> None:
    api.task("t")
    run = api.ended(api.run("t"))

    (listed,) = api.items("/v1/runs")

    of_one = {"attempts", "fed_by", "fed"}
    assert listed == {key: value for key, value in run.items() if key not in of_one}


def test_runs_are_filtered(api: Api) -> None:
    api.task("a", tags=["x"], overlap_policy="allow")
    api.task("b", tags=["x", "y"], handler="refuse", overlap_policy="allow")
    api.task("c", overlap_policy="allow")
    good, bad = api.ended(api.run("a"))["id"], api.ended(api.run("b"))["id"]
    again = api.ended(api.post(f"/v1/runs/{good}/rerun").json())["id"]
    (waiting,) = later(api, "c", 0)

    def found(query: str) -> set[str]:
        return set(ids(api, query))

    assert found("task=a") == {good, again}
    assert found("task=a,c") == found("task=a&task=c") == {good, again, waiting}
    assert found("tag=x") == {good, again, bad}
    assert found("tag=x&task=b,c") == found("tag=y") == {bad}
    assert found("status=succeeded,failed&trigger=manual") == {good, bad}
    assert found("trigger=rerun") == {again}
    assert found("status=queued") == {waiting}
    assert found("reason=fatal") == {bad}
    assert found("reason=none") == found("task=none") == found("tag=none") == set()
    assert found(f"scheduled_from={FAR}") == {waiting}
    assert found("scheduled_to=2998-12-31T23:59:59.999Z") == {good, again, bad}
    assert found("scheduled_from=2999-01-01T00:00:00.001Z") == set()
    assert found(f"backfill_id={random_id()}") == set()
    assert found("tag=x,y") == {good, again, bad}
    assert found("all_tags=x,y") == found("all_tags=x&all_tags=y") == {bad}
    assert found("all_tags=" + "x,y," * 600) == {bad}
    assert found("error=none") == set()
    assert found("finished_from=2000-01-01T00:00:00Z") == {good, again, bad}
    assert found("finished_to=2000-01-01T00:00:00Z") == set()


@shares_service
@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("status=done", "invalid-filter"),
        ("trigger=cron", "invalid-filter"),
        ("backfill_id=x", "invalid-filter"),
        ("scheduled_from=yesterday", "invalid"),
        ("scheduled_to=2026-01-01T00:00:00", "invalid"),
        ("limit=1000", "invalid"),
        ("cursor=x", "invalid-cursor"),
        ("cursor=WyJhIl0", "invalid-cursor"),
        ("cursor=WyJhIiwiYiJd", "invalid-cursor"),
        ("name=a", "unknown-parameter"),
        ("task=%00", "invalid-filter"),
        ("tag=%00", "invalid-filter"),
        ("reason=%00", "invalid-filter"),
    ],
)
def test_invalid_filters_are_refused(api: Api, query: str, slug: str) -> None:
    problem(api.get(f"/v1/runs?{query}"), 422, slug)


def test_the_runs_of_a_task_have_fewer_filters(api: Api) -> None:
    api.task("t", schedule=YEARLY)

    for query in ("task=t", "tag=x"):
        problem(api.get(f"/v1/tasks/t/runs?{query}"), 422, "unknown-parameter")


def test_scheduled_runs_come_from_the_schedule(api: Api) -> None:
    api.task("t", schedule={"type": "once", "delay": 0}, input=1)

    from tests.support.factories import eventually

    run: dict[str, Any] = eventually(lambda: api.items("/v1/tasks/t/runs?status=succeeded"))[0]

    assert (run["trigger"], run["result"]) == ("schedule", 1)


def test_a_failed_call_shows_the_response_of_its_target(api: Api) -> None:
    with serving() as site:
        site.answer(404, b"no such job", "text/plain", Location="/jobs")
        target = {"url": f"http://127.0.0.1:{site.port}/"}
        api.task("t", handler="http", target=target)
        run = api.ended(api.run("t"))

    response = {
        "status": 404,
        "headers": {"content-type": "text/plain", "location": "/jobs"},
        "body": "no such job",
        "truncated": False,
        "url_path": "/",
    }
    assert run["error"]["response"] == response
    assert [each["error"]["response"] for each in run["attempts"]] == [response]
    assert (run["error"]["phase"], set(run["error"]["timings"])) == (None, _PHASES)
    for timings in (run["attempts"][0]["error"]["timings"], run["attempts"][0]["timings"]):
        assert timings == run["error"]["timings"]


def test_a_call_that_succeeds_shows_how_long_its_phases_took(api: Api) -> None:
    with serving() as site:
        site.answer(200, b"done", "text/plain")
        api.task("t", handler="http", target={"url": f"http://127.0.0.1:{site.port}/"})
        run = api.ended(api.run("t"))

    [called] = run["attempts"]
    assert (run["status"], called["error"]) == ("succeeded", None)
    assert set(called["timings"]) == _PHASES
    api.task("u")
    [attempt] = api.ended(api.run("u"))["attempts"]
    assert attempt["timings"] is None


def test_a_call_that_was_not_answered_shows_the_phase_in_which_it_failed(api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/", "timeout": 0.4}
        api.task("t", handler="http", target=target, retry={"max_attempts": 1})
        run = api.ended(api.run("t"))

    error = run["error"]
    assert (error["type"], error["phase"], error["response"]) == ("http.timeout", "wait", None)
    # The phases before it count as well: on a busy machine they take a while.
    assert 0.2 < error["timings"]["wait"] < 5


_PHASES = {"dns", "connect", "write", "wait", "read"}
