"""Attempts in the driver: on fake time, with their logs and limits."""

import asyncio
import logging
from datetime import datetime, timedelta

import pytest

from rota import Context, SyncContext, handler
from rota.engine.attempts.runner import CANCEL_GRACE
from rota.settings import Settings
from rota.testing import Driver, attempts
from tests.testing.samples import (
    HOURLY,
    START,
    at,
    count,
    sleeps,
)


def test_a_handler_sleeps_in_fake_time_while_others_run() -> None:
    driver = Driver(now=START)
    driver.register("long", handler=sleeps, input=5400, timeout="2h")
    driver.register("short", handler=count, schedule=HOURLY)

    run = driver.run("long")

    assert run.result == 5400
    assert driver.now == run.finished_at == at("03-01T01:30")
    assert [run.started_at for run in driver.runs("short")] == [at("03-01T01:00")]


def test_time_may_stop_while_a_handler_runs() -> None:
    driver = Driver(now=START)
    driver.register("long", handler=sleeps, input=100, schedule=HOURLY)

    driver.advance("1h30s")
    (run,) = driver.runs("long")
    assert run.status == "running"
    driver.advance_to(at("03-01T01:01:40"))

    assert driver.find_run(run.id).status == "succeeded"


def test_a_timeout_happens_in_fake_time_and_the_handler_is_notified() -> None:
    received: list[tuple[str, datetime]] = []

    @handler("notified")
    async def notified(ctx: Context) -> None:
        ctx.on_stop(lambda reason: received.append((reason, driver.now)))
        await asyncio.sleep(3600)

    driver = Driver(now=START)
    driver.register("t", handler=notified, timeout="1m", retry={"max_attempts": 1})

    run = driver.run("t")

    assert (run.status, run.reason, driver.now) == ("failed", "timeout", at("03-01T00:01"))
    assert received == [("timeout", at("03-01T00:01"))]


@pytest.mark.parametrize("heeds", [True, False])
def test_a_cancel_is_notified_and_enforced_after_a_grace(heeds: bool) -> None:
    @handler("waits")
    async def waits(ctx: Context) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ctx.log.info(f"requested to end: {ctx.stop_reason}")  # noqa: G004  # no logger
            if heeds:
                raise
            await asyncio.sleep(60)

    driver = Driver(now=START)
    driver.register("t", handler=waits, schedule=HOURLY)
    driver.advance("1h10s")
    (run,) = driver.runs("t")

    driver.cancel(run)
    driver.advance(20)

    run = driver.find_run(run.id)
    assert (run.status, run.reason) == ("cancelled", "requested")
    assert run.finished_at == at("03-01T01:00:10") + timedelta(seconds=0 if heeds else 5)
    assert [line.message for line in driver.logs(run)] == ["requested to end: cancelled"]


def test_logged_lines_are_stored_and_printed_ones_left_to_pytest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @handler("talks")
    def talks(ctx: SyncContext) -> None:
        ctx.log.info("by the context")
        logging.getLogger("shop").warning("by %s", "logging")
        print("by print")  # noqa: T201
        ctx.progress(0.5, "half")

    driver = Driver()
    driver.register("t", handler=talks)

    run = driver.run("t")

    assert [(line.level, line.message) for line in driver.logs(run)] == [
        ("info", "by the context"),
        ("warning", "by logging"),
    ]
    assert run.progress is not None
    assert (run.progress.fraction, run.progress.message) == (0.5, "half")
    assert capsys.readouterr().out == "by print\n"


def test_handlers_may_use_threads_and_loops_of_their_own() -> None:
    @handler("mixes")
    async def mixes(ctx: Context) -> int:
        await asyncio.sleep(30)
        return await asyncio.to_thread(sum, [1, 2])

    @handler("loops")
    def loops(ctx: SyncContext) -> int:
        return asyncio.run(asyncio.sleep(0, 4))

    driver = Driver()
    driver.register("a", handler=mixes)
    driver.register("b", handler=loops)

    assert driver.run("a").result == 3
    assert driver.run("b").result == 4


def test_it_works_inside_a_running_loop() -> None:
    async def test() -> int:
        driver = Driver(now=START)
        driver.register("t", handler=count, schedule=HOURLY)
        driver.advance("3h")
        return len(driver.runs("t"))

    assert asyncio.run(test()) == 3


def test_a_write_of_another_client_is_a_conflict_and_causes_another_attempt() -> None:
    @handler("adds")
    async def adds(ctx: Context) -> None:
        before = await ctx.kv.get("total", 0)
        await asyncio.sleep(60)
        await ctx.kv.set("total", before + 1)

    driver = Driver(now=START)
    driver.register("t", handler=adds, schedule=HOURLY)
    driver.advance("1h30s")
    driver.set_kv("t", "total", 10)
    driver.advance("2m")

    (run,) = driver.runs("t")
    assert [each.outcome for each in driver.attempts(run)] == ["conflict", "succeeded"]
    assert driver.kv("t") == {"total": 11}


def test_a_replaced_run_is_not_awaited_any_longer() -> None:
    driver = Driver(now=START)
    target = {"url": "http://localhost/"}
    driver.register("web", handler="http", target=target, schedule=HOURLY, overlap_policy="replace")

    run = driver.run("web")

    assert (run.status, run.reason) == ("cancelled", "replaced")
    assert driver.now == at("03-01T01:00")


def test_the_limits_of_an_attempt_are_those_of_the_service() -> None:
    limits = (attempts.MAX_RESULT_BYTES, attempts.MAX_VALUE_BYTES, attempts.MAX_LOG_BYTES)
    fields = (
        Settings.model_fields[name].default
        for name in ("max_result_bytes", "max_value_bytes", "max_log_bytes")
    )

    assert limits == tuple(fields)
    assert attempts.CANCEL_GRACE == CANCEL_GRACE
