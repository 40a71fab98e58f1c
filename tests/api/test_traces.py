"""The trace of a request is kept with the runs that it triggers, and passed on by them."""

from typing import Any

import pytest

from rota.store.task_rows import find_task
from tests.api.marks import on_both, shares_service
from tests.api.service import MANUAL, Api
from tests.support.factories import eventually

TRACES = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 5)]


def traced(trace: str) -> dict[str, Any]:
    return {"headers": {"traceparent": trace}}


def body(**fields: Any) -> dict[str, Any]:
    return {"handler": "echo", "schedule": MANUAL} | fields


def run_of(api: Api, task: str) -> dict[str, Any]:
    """Return the only run of a task, when there is one."""
    (run,) = eventually(lambda: api.items(f"/v1/tasks/{task}/runs"))
    return dict(run)


@on_both
def test_a_run_has_the_trace_of_what_triggered_it(api: Api) -> None:
    api.put("/v1/tasks/t", json=body(), **traced(TRACES[0]))

    made = api.post("/v1/tasks/t/run", **traced(TRACES[1])).json()
    api.ended(made)
    again = api.post(f"/v1/runs/{made['id']}/rerun", **traced(TRACES[2])).json()
    api.ended(again)
    bare = api.run("t")

    assert made["traceparent"] == TRACES[1]
    assert again["traceparent"] == TRACES[2]
    assert bare["traceparent"] is None
    assert api.read(f"/v1/runs/{made['id']}")["traceparent"] == TRACES[1]


@on_both
def test_a_scheduled_run_has_the_trace_of_the_registration(api: Api) -> None:
    soon = {"type": "once", "delay": 0}
    api.post("/v1/tasks", json=body(name="post", schedule=soon), **traced(TRACES[0]))
    api.put("/v1/tasks/put", json=body(schedule=soon), **traced(TRACES[1]))
    items = [body(name="many", schedule=soon)]
    api.post("/v1/tasks/batch", json={"items": items}, **traced(TRACES[2]))
    api.put("/v1/tasks/patch", json=body())
    api.patch("/v1/tasks/patch", json={"schedule": soon}, **traced(TRACES[3]))
    api.put("/v1/tasks/bare", json=body(schedule=soon))

    names = ("post", "put", "many", "patch", "bare")
    assert [run_of(api, name)["traceparent"] for name in names] == [*TRACES, None]


def test_a_registration_that_changes_nothing_keeps_the_trace(api: Api) -> None:
    later = body(schedule={"type": "once", "delay": "1h"})
    outcomes = []
    for name, second in (("same", later), ("other", later | {"input": 1})):
        api.put(f"/v1/tasks/{name}", json=later, **traced(TRACES[0]))
        answer = api.put(f"/v1/tasks/{name}", json=second, **traced(TRACES[1]))
        outcomes.append(answer.json()["outcome"])

    assert outcomes == ["unchanged", "updated"]
    with api.app.state.services.database.read() as connection:
        kept = [find_task(connection, name).traceparent for name in ("same", "other")]
    assert kept == TRACES[:2]


@on_both
def test_a_successor_has_the_trace_of_the_run_that_released_it(api: Api) -> None:
    for name in "ab":
        api.put(f"/v1/tasks/{name}", json=body(), **traced(TRACES[3]))
    after = {"type": "after", "tasks": ["a", "b"]}
    api.put("/v1/tasks/after", json=body(schedule=after), **traced(TRACES[3]))
    api.ended(api.post("/v1/tasks/b/run", **traced(TRACES[0])).json())
    api.ended(api.post("/v1/tasks/a/run", **traced(TRACES[1])).json())

    assert run_of(api, "after")["traceparent"] == TRACES[1]


def test_the_runs_of_a_backfill_have_the_trace_of_its_request(api: Api) -> None:
    daily = {"type": "cron", "expression": "0 0 * * *", "start_at": "2026-01-01T00:00:00Z"}
    api.put("/v1/tasks/t", json=body(schedule=daily), **traced(TRACES[0]))
    span = {"from": "2026-01-02T00:00:00Z", "to": "2026-01-03T00:00:00Z", "max_concurrent": 2}

    api.post("/v1/tasks/t/backfill", json=span, **traced(TRACES[1]))

    runs = eventually(lambda: len(found := api.items("/v1/tasks/t/runs")) == 2 and found)
    assert {run["traceparent"] for run in runs} == {TRACES[1]}


def test_tasks_that_are_run_by_a_selector_share_the_trace(api: Api) -> None:
    for name in "ab":
        api.put(f"/v1/tasks/{name}", json=body())

    api.post("/v1/tasks/run", json={"selector": {"all": True}}, **traced(TRACES[0]))

    assert [run_of(api, name)["traceparent"] for name in "ab"] == [TRACES[0]] * 2


@shares_service
@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", TRACES[0].upper().replace("00-", "0G-"))],
        [("traceparent", TRACES[0]), ("traceparent", TRACES[1])],
        [("traceparent", "x" * 5_000)],
        [("tracestate", "a=b")],
    ],
)
def test_an_invalid_trace_is_ignored(api: Api, headers: list[tuple[str, str]]) -> None:
    api.put("/v1/tasks/ignores", json=body(overlap_policy="allow"))

    made = api.post("/v1/tasks/ignores/run", headers=headers)

    assert made.status_code == 202
    assert made.json()["traceparent"] is None
