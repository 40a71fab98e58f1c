"""`ctx.kv` in the driver: shared tables and checkpoints, as in the service."""

from typing import Any

import pytest

from rota import Context, SyncContext, handler
from rota.errors import NotFound
from rota.testing import Driver

EXACT = {"max_attempts": 3, "initial_interval": 10, "multiplier": 2, "jitter": False}


@handler("pages")
async def pages(ctx: Context) -> None:
    for page in range(await ctx.kv.get("page", 0), 3):
        await ctx.kv.set("page", page + 1)
        await ctx.kv.commit()
        if page == ctx.attempt:
            raise ValueError("the feed is down")


@handler("pages-sync")
def pages_sync(ctx: SyncContext) -> None:
    for page in range(ctx.kv.get("page", 0), 3):
        ctx.kv.set("page", page + 1)
        ctx.kv.commit()
        if page == ctx.attempt:
            raise ValueError("the feed is down")


@handler("sells")
async def sells(ctx: Context) -> Any:
    await ctx.kv.of("stock").set("photo", b"raw", content_type="image/png")
    return await ctx.kv.of("stock").increment("left", -1)


@handler("sells-sync")
def sells_sync(ctx: SyncContext) -> Any:
    ctx.kv.of("stock").set("photo", b"raw", content_type="image/png")
    return ctx.kv.of("stock").increment("left", -1)


@handler("looks")
def looks(ctx: SyncContext) -> Any:
    return ctx.kv.of("missing").get("a")


@pytest.mark.parametrize("function", [pages, pages_sync])
def test_a_retry_continues_from_the_last_checkpoint(function: Any) -> None:
    driver = Driver()
    driver.register("t", handler=function, retry=EXACT)

    run = driver.run("t")

    assert (run.status, run.attempt) == ("succeeded", 3)
    assert driver.kv("t") == {"page": 3}


@pytest.mark.parametrize("function", [sells, sells_sync])
def test_a_run_writes_to_the_table_of_a_task_that_grants_it(function: Any) -> None:
    driver = Driver()
    driver.register("stock", handler=function, kv={"left": 10}, kv_grants=["shop"])
    driver.register("shop", handler=function)

    assert driver.run("shop").result == 9
    assert driver.kv("stock") == {"left": 9, "photo": b"raw"}


@pytest.mark.parametrize("function", [sells, sells_sync])
def test_without_a_grant_the_run_fails(function: Any) -> None:
    driver = Driver()
    driver.register("stock", handler=function, kv={"left": 10})
    driver.register("shop", handler=function, retry=EXACT)

    run = driver.run("shop")

    assert (run.status, run.reason, run.attempt) == ("failed", "fatal", 1)
    assert run.error is not None
    assert run.error.type == "kv.not_granted"
    assert driver.kv("stock") == {"left": 10}


def test_the_table_of_an_unknown_task_is_not_found() -> None:
    driver = Driver()
    driver.register("t", handler=looks, retry={"max_attempts": 1})

    run = driver.run("t")

    assert run.error is not None
    assert run.error.type.endswith(NotFound.__name__)
    assert "'missing'" in run.error.message
