"""Tasks with predecessors: registration, warnings, and the input of their runs."""

from typing import Any

import pytest

from rota.domain.chains.limits import LONGEST_CHAIN, MOST_SUCCESSORS
from rota.domain.chains.result_merge import RUN_FIELDS, without_runs
from tests.api.marks import on_both, shares_service
from tests.api.service import FINAL, MANUAL, Api, pointers, problem
from tests.support.factories import eventually


def after(*tasks: str, **fields: Any) -> dict[str, Any]:
    return {"type": "after", "tasks": list(tasks), **fields}


def body(*tasks: str, **fields: Any) -> dict[str, Any]:
    """Return a task: with these predecessors, or else with a manual schedule."""
    return {"handler": "echo", "schedule": after(*tasks) if tasks else MANUAL} | fields


def put(api: Api, name: str, *tasks: str, **fields: Any) -> Any:
    return api.put(f"/v1/tasks/{name}", json=body(*tasks, **fields))


def batch(api: Api, **items: list[str]) -> Any:
    tasks = [body(*named) | {"name": name} for name, named in items.items()]
    return api.post("/v1/tasks/batch", json={"items": tasks})


def last_run(api: Api, name: str) -> dict[str, Any]:
    """Wait until the last run of a task is final; return it."""

    def found() -> dict[str, Any] | None:
        runs = api.items(f"/v1/tasks/{name}/runs?limit=1")
        return runs[0] if runs and runs[0]["status"] in FINAL else None

    run: dict[str, Any] = eventually(found, f"{name} has not run")
    return run


@on_both
def test_a_run_receives_the_results_of_its_predecessors(api: Api) -> None:
    api.task("extract")
    api.task("price", handler="count")
    made = put(api, "load", "extract", "price", input={"kind": "daily"})
    assert (made.status_code, made.json()["warnings"]) == (201, [])
    assert made.json()["schedule"] == after("extract", "price", on=["succeeded"], merge="by_task")

    api.run("extract", input={"rows": 3})
    api.run("price")

    run = last_run(api, "load")
    assert (run["trigger"], run["status"]) == ("after", "succeeded")
    results = {"extract": {"rows": 3}, "price": 1}
    assert without_runs(run["input"]) == {"kind": "daily", "results": results}
    told = run["input"]["runs"]["extract"]
    before = last_run(api, "extract")
    assert told == {name: before[name] for name in RUN_FIELDS}
    assert run["result"] == run["input"]
    assert run["lateness"] >= 0


def test_the_failure_of_a_predecessor_skips_the_run_with_an_error_that_names_it(api: Api) -> None:
    api.task("extract", handler="fail", retry={"max_attempts": 1})
    api.task("load", schedule=after("extract"))

    failed = api.ended(api.run("extract"))

    run = last_run(api, "load")
    assert (run["status"], run["reason"]) == ("skipped", "predecessor")
    assert failed["id"] in run["error"]["message"]
    assert run["error"] == {
        "type": "predecessor",
        "message": f"run {failed['id']} of task 'extract' has ended as failed (error)",
        "traceback": None,
        "response": None,
        "phase": None,
        "timings": None,
    }
    (listed,) = api.items("/v1/runs?reason=predecessor")
    assert listed["task"] == "load"


def test_an_unknown_predecessor_is_refused(api: Api) -> None:
    api.task("there")

    answer = put(api, "load", "there", "nowhere")

    assert "'nowhere'" in problem(answer, 422, "invalid")["detail"]
    assert pointers(answer) == ["/schedule/tasks/1"]
    assert api.get("/v1/tasks/load").status_code == 404


@on_both
def test_a_batch_may_name_its_own_tasks_in_any_order(api: Api) -> None:
    assert batch(api, load=["clean"], clean=["extract"], extract=[]).status_code == 201

    answer = batch(api, other=["load"], more=["nowhere"])

    problem(answer, 422, "invalid")
    assert pointers(answer) == ["/items/1/schedule/tasks/0"]
    assert api.get("/v1/tasks/other").status_code == 404


def test_a_task_cannot_be_its_own_predecessor(api: Api) -> None:
    api.task("a")

    answers = [put(api, "a", "a"), put(api, "new", "a", "new")]

    assert [problem(answer, 422, "invalid")["errors"][0] for answer in answers] == [
        {"pointer": f"/schedule/tasks/{place}", "detail": "a task cannot come after itself"}
        for place in (0, 1)
    ]


@pytest.mark.parametrize("verb", ["put", "patch"])
def test_a_cycle_is_refused_and_named(api: Api, verb: str) -> None:
    batch(api, a=[], b=["a"], c=["b"], other=[])

    answer = api.call(verb.upper(), "/v1/tasks/a", json=body("other", "c"))

    error = problem(answer, 422, "invalid")["errors"][0]
    assert error["pointer"] == "/schedule/tasks/1"
    assert error["detail"] == "this creates a cycle: 'a' after 'c' after 'b' after 'a'"
    assert api.read("/v1/tasks/a")["schedule"] == MANUAL


@on_both
def test_a_cycle_within_a_batch_is_refused_at_its_last_item(api: Api) -> None:
    answer = batch(api, x=[], a=["x", "b"], b=["c"], c=["x", "a"])

    assert pointers(answer) == ["/items/3/schedule/tasks/1"]
    detail = "this creates a cycle: 'c' after 'a' after 'b' after 'c'"
    assert answer.json()["errors"][0]["detail"] == detail


def test_a_cycle_is_broken_once_one_task_has_no_predecessors(api: Api) -> None:
    batch(api, a=[], b=["a"])

    assert put(api, "b").status_code == 200
    assert put(api, "a", "b").status_code == 200


@on_both
def test_the_number_of_tasks_in_a_chain_is_limited(api: Api) -> None:
    row = {f"t{number}": [f"t{number - 1}"] for number in range(1, LONGEST_CHAIN)}
    assert batch(api, t0=[], **row).status_code == 201

    answer = put(api, "more", f"t{LONGEST_CHAIN - 1}")

    assert f"at most {LONGEST_CHAIN} may" in problem(answer, 422, "invalid")["detail"]
    assert pointers(answer) == ["/schedule/tasks"]
    assert put(api, "beside", "t0").status_code == 201


@on_both
def test_the_number_of_successors_is_limited(api: Api) -> None:
    half = MOST_SUCCESSORS // 2
    direct = {f"d{number}": ["a"] for number in range(half)}
    indirect = {f"i{number}": ["d0"] for number in range(MOST_SUCCESSORS - half)}
    assert batch(api, a=[], **direct, **indirect).status_code == 201

    answer = put(api, "more", "i0")

    assert "more than 1,000 tasks would come after 'a'" in problem(answer, 422, "invalid")["detail"]
    assert put(api, "d1", "a", "d0").status_code == 200, "no task more"


def test_a_read_task_can_be_declared_again_after_its_predecessor_is_deleted(api: Api) -> None:
    batch(api, a=[], b=[], c=[], d=[], load=["a", "b", "c", "d"])
    assert api.delete("/v1/tasks/a").status_code == 204
    assert api.post("/v1/tasks/b/cancel").status_code == 200
    assert api.post("/v1/tasks/c/pause").status_code == 200

    again = api.put("/v1/tasks/load", json=api.read("/v1/tasks/load"))
    patched = api.patch("/v1/tasks/load", json={"priority": 3})

    assert (again.json()["outcome"], patched.json()["outcome"]) == ("unchanged", "updated")
    explained = api.get("/v1/tasks/load/explain")
    for answer in (again, patched, explained):
        warnings = {each["code"]: each["message"] for each in answer.json()["warnings"]}
        assert list(warnings) == [
            "predecessor_missing",
            "predecessor_cancelled",
            "predecessor_paused",
        ]
        assert "'a'" in warnings["predecessor_missing"]


def test_a_deleted_predecessor_is_warned_of_and_a_new_one_of_its_name_counts(api: Api) -> None:
    batch(api, extract=[], load=["extract"])

    api.delete("/v1/tasks/extract")

    (run,) = api.items("/v1/tasks/load/runs")
    assert (run["status"], run["reason"]) == ("skipped", "predecessor")
    assert run["error"]["message"] == "task 'extract' was deleted"
    api.task("extract")
    api.run("extract", input=1)
    eventually(lambda: len(api.items("/v1/tasks/load/runs")) == 2)
    assert last_run(api, "load")["input"]["results"] == {"extract": 1}


@shares_service
@pytest.mark.parametrize(
    ("handler", "merge", "input", "pointer"),
    [
        ("needs-results", "by_task", {}, None),
        ("needs-results", "collect", {}, None),  # what the results are is seen when they are there
        ("needs-results", "by_task", {"kind": 5}, "/input/kind"),
        ("greet", "by_task", {"name": "Ada"}, "/input"),
        ("greet", "overwrite", {}, None),
    ],
)
def test_the_merged_input_is_checked_against_the_handlers_schema(
    api: Api, handler: str, merge: str, input: Any, pointer: str | None
) -> None:
    api.task("extract")

    fields = {"handler": handler, "input": input, "schedule": after("extract", merge=merge)}
    answer = put(api, "load", **fields)

    api.delete("/v1/tasks/load")  # the service is shared
    if pointer is None:
        assert answer.status_code == 201, answer.text
    else:
        problem(answer, 422, "invalid-input")
        assert pointers(answer) == [pointer]


def test_a_task_with_predecessors_has_no_fire_time_and_can_be_run_by_request(
    api: Api,
) -> None:
    batch(api, extract=[], load=["extract"])

    run = api.ended(api.run("load", input={"results": {"extract": 0}}))

    task = api.read("/v1/tasks/load")
    assert (task["status"], task["next_fire_at"]) == ("active", None)
    assert api.items("/v1/tasks/load/upcoming") == []
    assert (run["trigger"], run["result"]) == ("manual", {"results": {"extract": 0}})
