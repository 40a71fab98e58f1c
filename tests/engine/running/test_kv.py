"""Runs of a whole service that share tables and commit checkpoints, with `async def` and `def` handlers."""

import threading
from typing import Any

import pytest

from rota import Context, KvConflict, SyncContext, handler
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus
from tests.engine.service import Service

MANUAL: dict[str, Any] = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}

#: Set by a handler that waits; set by the test that lets it continue.
waits = threading.Event()
go_on = threading.Event()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    waits.clear()
    go_on.clear()


@handler("pages")
def pages(ctx: SyncContext) -> int:
    """Process pages, each with a checkpoint; the second one fails at first."""
    taken = 0
    while (page := ctx.kv.get("page", 0)) < 3:
        if page == 1 and ctx.attempt == 1:
            raise ValueError("the feed is down")
        ctx.kv.set("page", page + 1)
        ctx.kv.append("log", ctx.attempt)
        ctx.kv.commit()
        taken += 1
    return taken


@handler("pages-async")
async def pages_async(ctx: Context) -> int:
    taken = 0
    while (page := await ctx.kv.get("page", 0)) < 3:
        if page == 1 and ctx.attempt == 1:
            raise ValueError("the feed is down")
        await ctx.kv.set("page", page + 1)
        await ctx.kv.append("log", ctx.attempt)
        await ctx.kv.commit()
        taken += 1
    return taken


@handler("sells")
async def sells(ctx: Context) -> int:
    stock = ctx.kv.of("stock")
    await ctx.kv.increment("sold")
    return int(await stock.increment("left", -1))


@handler("waits-then-commits")
def waits_then_commits(ctx: SyncContext) -> Any:
    seen = ctx.kv.get("a")
    ctx.kv.set("a", [seen, "mine"])
    waits.set()
    assert go_on.wait(20)
    try:
        ctx.kv.commit()
    except KvConflict:
        return "it continues"
    return seen


@pytest.mark.parametrize("function", [pages, pages_async])
def test_the_next_attempt_continues_from_the_last_checkpoint(serve: Any, function: Any) -> None:
    service: Service = serve(function)
    name = "pages" if function is pages else "pages-async"
    retry = {"max_attempts": 2, "initial_interval": 0}
    service.register(handler=name, retry=retry, **MANUAL)

    run = service.ended(service.run_now().id)

    assert (run.status, run.result, run.failures) == (RunStatus.SUCCEEDED, "2", 1)
    assert service.entries() == {"page": 3, "log": [1, 2, 2]}


def test_runs_of_one_task_count_in_the_table_of_another(serve: Any) -> None:
    service: Service = serve(sells)
    service.register("stock", handler="sells", kv_grants=["shop"], **MANUAL)
    service.register("shop", handler="sells", **MANUAL)
    service.set("left", 20, "stock")

    runs = [service.run_now("shop") for _ in range(20)]

    assert all(service.ended(run.id).status is RunStatus.SUCCEEDED for run in runs)
    assert service.entries("stock") == {"left": 0}
    assert service.entries("shop") == {"sold": 20}


def test_without_a_grant_a_run_fails_without_a_retry(serve: Any) -> None:
    service: Service = serve(sells)
    service.register("stock", handler="sells", **MANUAL)
    service.register("shop", handler="sells", retry={"max_attempts": 5}, **MANUAL)

    run = service.ended(service.run_now("shop").id)

    assert (run.status, run.reason, run.attempt) == (RunStatus.FAILED, "fatal", 1)
    assert run.error is not None
    assert run.error.type == "kv.not_granted"
    assert service.entries("stock") == service.entries("shop") == {}


def test_an_attempt_is_repeated_when_its_checkpoint_conflicts(serve: Any) -> None:
    service: Service = serve(waits_then_commits)
    service.register(handler="waits-then-commits", **MANUAL)
    service.set("a", "first")
    run = service.run_now()
    assert waits.wait(20)

    service.set("a", "theirs")
    go_on.set()

    ended = service.ended(run.id)
    assert (ended.status, ended.attempt, ended.failures) == (RunStatus.SUCCEEDED, 2, 0)
    assert service.attempts(run.id)[0].outcome is AttemptOutcome.CONFLICT
    assert service.entries() == {"a": ["theirs", "mine"]}


def test_a_checkpoint_of_an_attempt_that_has_lost_its_run_stores_nothing(serve: Any) -> None:
    service: Service = serve(waits_then_commits)
    service.register(handler="waits-then-commits", **MANUAL)
    service.set("a", "first")
    run = service.run_now()
    assert waits.wait(20)

    service.cancel()
    go_on.set()

    assert service.ended(run.id).status is RunStatus.CANCELLED
    assert service.entries() == {"a": "first"}
