"""Chains of tasks through the whole service."""

from collections.abc import Callable
from typing import Any

from rota import Context, Fail, handler
from rota.domain.chains.result_merge import without_runs
from rota.domain.primitives.json import json_text
from rota.domain.runs.model import Run
from tests.engine.service import Service
from tests.support.factories import eventually

Serve = Callable[..., Service]


@handler("extract")
async def extract(ctx: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Return the rows of its input."""
    if not input["rows"]:
        raise Fail("no rows")
    return {"rows": input["rows"]}


@handler("total")
async def total(ctx: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Sum up the rows of the predecessor, times its own factor."""
    rows = input["results"]["extract"]["rows"]
    return {"total": sum(rows) * input["factor"]}


@handler("report")
async def report(ctx: Context, input: dict[str, Any]) -> str:
    """Return the results of all predecessors."""
    await ctx.kv.set("last", input["results"])
    found = [each["total"] for name, each in sorted(input["results"].items()) if "total" in each]
    return f"{input['title']}: {found}"


def after(*tasks: str) -> dict[str, Any]:
    return {"type": "after", "tasks": list(tasks)}


def start(serve: Serve) -> Service:
    """Start a service with `extract`, then `net` and `gross` beside each other, then `report` after all three."""
    service = serve(extract, total, report)
    service.register("extract", handler="extract", schedule={"type": "manual"})
    for name, factor in (("net", 1), ("gross", 2)):
        service.register(name, handler="total", schedule=after("extract"), input={"factor": factor})
    service.register(
        "report",
        handler="report",
        schedule=after("extract", "net", "gross"),
        input={"title": "today"},
    )
    return service


def last(service: Service, name: str, number: int = 1) -> Run:
    """Wait until a task has `number` final runs; return the last one."""

    def found() -> Run | None:
        runs = service.runs(name)[:number]
        return runs[-1] if len(runs) == number and runs[-1].status.final else None

    run: Run = eventually(found, f"{name} has not run {number} times")
    return run


def test_a_chain_passes_its_results_to_the_last_task(serve: Serve) -> None:
    service = start(serve)

    service.run_now("extract", input='{"rows":[3,4]}')

    run = last(service, "report")
    assert run.result == '"today: [14, 7]"'
    expected = {"extract": {"rows": [3, 4]}, "net": {"total": 7}, "gross": {"total": 14}}
    given = json_text.loads(run.input)
    assert without_runs(given) == {"title": "today", "results": expected}
    assert {name: each["status"] for name, each in given["runs"].items()} == dict.fromkeys(
        expected, "succeeded"
    )
    assert service.entries("report") == {"last": expected}
    for name in ("net", "gross", "report"):
        (run,) = service.runs(name)
        assert run.trigger == "after"
        assert run.lateness is not None
        assert run.lateness.total_seconds() >= 0


def test_a_broken_chain_skips_all_its_tasks_and_continues_with_the_next_run(
    serve: Serve,
) -> None:
    service = start(serve)

    service.run_now("extract", input='{"rows":[]}')
    broken = last(service, "report", 3)
    service.run_now("extract", input='{"rows":[1]}')

    assert last(service, "report", 4).result == '"today: [2, 1]"'
    assert (broken.status, broken.reason) == ("skipped", "predecessor")
    messages = [str(run.error and run.error.message) for run in service.runs("report")[:3]]
    assert [message.split("task ")[1].split()[0] for message in messages] == [
        "'extract'",
        "'net'",
        "'gross'",
    ]


def test_a_schedule_drives_a_chain(serve: Serve) -> None:
    service = serve(extract, total)
    service.register(
        "extract",
        handler="extract",
        schedule={"type": "once", "delay": 0.5},
        input={"rows": [2]},
    )
    service.register("net", handler="total", schedule=after("extract"), input={"factor": 5})

    assert last(service, "net").result == '{"total":10}'
    assert service.task("net").status == "active"
