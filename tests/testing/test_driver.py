"""The driver, as the author of a handler uses it: no fixtures, no database to set up, time in no time."""

import asyncio
import gc
import logging
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field

from rota import Context, Fail, Retry, SyncContext, handler
from rota.engine.attempts.runner import CANCEL_GRACE
from rota.errors import NotFound
from rota.settings import Settings
from rota.testing import Driver, RunFailed, attempts

START = "2026-03-01T00:00:00Z"
DAILY = {"type": "cron", "expression": "0 9 * * *"}
HOURLY = {"type": "interval", "every": "1h"}
EXACT = {"max_attempts": 3, "initial_interval": 10, "multiplier": 2, "jitter": False}


class Order(BaseModel):
    number: int = Field(1, ge=1)


@handler("count")
async def count(ctx: Context) -> dict[str, int]:
    """Count the runs of the task."""
    cursor = await ctx.kv.get("cursor", 0) + 1
    await ctx.kv.set("cursor", cursor)
    return {"cursor": cursor}


@handler("count-sync", isolation="process")
def count_sync(ctx: SyncContext) -> dict[str, int]:
    cursor = ctx.kv.get("cursor", 0) + 1
    ctx.kv.set("cursor", cursor)
    return {"cursor": cursor}


@handler("order")
def order(ctx: SyncContext, input: Order) -> int:
    return input.number * 2


@handler("raises")
async def raises(ctx: Context, input: Any) -> Any:
    """Execute the step of the input for each attempt."""
    await ctx.kv.set("attempt", ctx.attempt)
    await ctx.tasks.register(name=f"a{ctx.attempt}", handler="raises", schedule={"type": "manual"})
    match input[ctx.attempt - 1]:
        case "fail":
            raise Fail("no such customer")
        case "retry":
            raise Retry("5m", "the feed is down")
        case "error":
            raise ValueError("broken")
        case result:
            return result


@handler("sleeps")
async def sleeps(ctx: Context, input: float) -> float:
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(input)
    return asyncio.get_running_loop().time() - began


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


def test_large_inputs_and_results_are_complete() -> None:
    @handler("echo")
    async def echo(ctx: Context, input: str) -> str:
        return input

    with Driver() as driver:
        driver.register("t", handler=echo, schedule={"type": "manual"}, input="x" * 100_000)
        driver.run("t")

        (run,) = driver.runs("t")
        assert run.input == run.result == "x" * 100_000


@pytest.mark.parametrize("function", [count, count_sync])
def test_a_month_of_daily_runs(function: Any) -> None:
    driver = Driver(now=START)
    driver.register("digest", handler=function, schedule=DAILY, kv={"cursor": 100})

    driver.advance("30d")

    runs = driver.runs("digest")
    assert [run.scheduled_for for run in runs] == [
        at("03-01T09:00") + timedelta(days=day) for day in range(30)
    ]
    assert all(run.started_at == run.finished_at == run.scheduled_for for run in runs)
    assert [run.result["cursor"] for run in runs] == list(range(101, 131))
    assert driver.kv("digest") == {"cursor": 130}
    assert driver.now == at("03-31T00:00")


def test_two_tasks_take_turns_by_their_fire_times() -> None:
    driver = Driver(now=START)
    driver.register("even", handler=count, schedule=HOURLY)
    driver.register("odd", handler=count, schedule={**HOURLY, "anchor": "2026-03-01T00:30:00Z"})

    driver.advance("2h")

    assert [(run.task, run.started_at) for run in driver.runs()] == [
        ("odd", at("03-01T00:30")),
        ("even", at("03-01T01:00")),
        ("odd", at("03-01T01:30")),
        ("even", at("03-01T02:00")),
    ]


def test_a_manual_run_takes_an_input_and_its_model() -> None:
    driver = Driver()
    driver.register("order", handler=order, input={"number": 3})

    assert driver.run("order").result == 6
    assert driver.run("order", input={"number": 21}).result == 42
    wrong = driver.run("order", input={"number": 0})
    assert (wrong.status, wrong.reason) == ("failed", "fatal")
    assert driver.now == datetime(2026, 1, 1, tzinfo=UTC)


def test_retries_come_at_their_times_and_only_the_success_counts() -> None:
    driver = Driver(now=START)
    driver.register("t", handler=raises, input=["error", "retry", 7], retry=EXACT)

    run = driver.run("t")

    assert (run.status, run.result, run.failures) == ("succeeded", 7, 2)
    outcomes = [(each.outcome, each.started_at) for each in driver.attempts(run)]
    assert outcomes == [
        ("failed", at("03-01T00:00")),
        ("retry", at("03-01T00:00:10")),
        ("succeeded", at("03-01T00:05:10")),
    ]
    assert driver.now == at("03-01T00:05:10")
    assert driver.kv("t") == {"attempt": 3}
    assert driver.task("a3").definition.handler == "raises"
    for name in ("a1", "a2"):
        with pytest.raises(NotFound):
            driver.task(name)


@pytest.mark.parametrize(
    ("input", "reason", "error"),
    [
        (["fail"], "fatal", ("fail", "no such customer")),
        (["error"] * 3, "attempts_exhausted", ("ValueError", "broken")),
    ],
)
def test_a_failure_leaves_the_kv_as_it_was(
    input: list[str], reason: str, error: tuple[str, str]
) -> None:
    driver = Driver(now=START)
    driver.register("t", handler=raises, input=input, retry=EXACT, kv={"attempt": 0})

    run = driver.run("t")

    assert (run.status, run.reason) == ("failed", reason)
    assert run.error is not None
    assert (run.error.type, run.error.message) == error
    assert driver.kv("t") == {"attempt": 0}


def test_what_pytest_shows_of_a_run_and_of_an_attempt_has_the_error() -> None:
    @handler("breaks")
    async def breaks(ctx: Context) -> None:
        raise ValueError("the ledger is locked" + 3_000 * " by another job")

    driver = Driver(now=START)
    driver.register("a-task-with-a-rather-long-name" * 3, handler=breaks, retry=EXACT)
    run = driver.run("a-task-with-a-rather-long-name" * 3)

    with pytest.raises(AssertionError) as of_run:
        assert run.result
    with pytest.raises(AssertionError) as of_attempt:
        assert driver.attempts(run)[0].finished_at is None

    assert repr(run).startswith("RunView(status='failed', error='ValueError: the ledger is locked")
    assert len(repr(run)) <= 240
    assert "error='ValueError: the ledger is locked" in str(of_run.value)
    assert "reason='attempts_exhausted'" in str(of_run.value)
    assert "error='ValueError: the ledger is locked" in str(of_attempt.value)


@pytest.mark.parametrize("input", [["error"] * 3, ["fail"]])
def test_a_checked_run_raises_with_the_error(input: list[str]) -> None:
    driver = Driver(now=START)
    driver.register("t", handler=raises, input=input, retry=EXACT)

    with pytest.raises(RunFailed) as failed:
        driver.run("t", check=True)

    shown = {
        "error": "(attempts_exhausted): ValueError: broken",
        "fail": "(fatal): fail: no such customer",
    }
    head, *rest = str(failed.value).splitlines()
    assert head == f"the run of 't' at 2026-03-01T00:00:00Z is failed {shown[input[0]]}"
    assert any('raise ValueError("broken")' in line for line in rest) == (input[0] == "error")
    assert failed.value.run.status == "failed"


def test_a_checked_run_that_was_cancelled_did_not_succeed_either() -> None:
    @handler("cancels-itself")
    def cancels_itself(ctx: SyncContext) -> None:
        driver.cancel(ctx.run_id)
        raise asyncio.CancelledError

    driver = Driver(now=START)
    driver.register("t", handler=cancels_itself)

    with pytest.raises(RunFailed, match=r"is cancelled \(requested\): asyncio.*CancelledError\n"):
        driver.run("t", check=True)


def test_a_checked_run_that_succeeds_is_returned() -> None:
    driver = Driver()
    driver.register("t", handler=raises, input=["error", 7])

    assert driver.run("t", check=True).result == 7


def test_a_checked_advance_raises_with_the_first_run_that_fails() -> None:
    driver = Driver(now=START)
    driver.register("good", handler=count, schedule=HOURLY)
    driver.register("bad", handler=raises, input=["fail"], schedule=DAILY)

    driver.advance("8h", check=True)
    with pytest.raises(RunFailed, match="the run of 'bad' at 2026-03-01T09:00:00Z is failed"):
        driver.advance_to(at("03-03T12:00"), check=True)

    assert driver.now == at("03-03T12:00")
    driver.advance("20h", check=True)  # earlier failures were raised then


def test_the_timeout_of_a_run_shows_the_error_of_its_last_attempt() -> None:
    driver = Driver(now=START)
    driver.register("t", handler=raises, input=["retry", 1])

    with pytest.raises(TimeoutError, match="still queued; its last attempt: retry: the feed is"):
        driver.run("t", within="1m")


def test_the_overlap_policy_applies_to_a_fire_time_while_a_retry_waits() -> None:
    driver = Driver(now=START)
    minutely = {"type": "interval", "every": "1m"}
    driver.register("t", handler=raises, schedule=minutely, input=["retry", 1], retry=EXACT)

    driver.advance("6m")

    first, *skipped = driver.runs("t")
    assert (first.status, first.finished_at) == ("succeeded", at("03-01T00:06"))
    assert [run.reason for run in skipped] == ["overlap"] * 5


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


def test_a_run_registers_tasks_that_then_run() -> None:
    @handler("parent")
    async def parent(ctx: Context) -> None:
        for number in range(3):
            delay = {"type": "once", "delay": 60 * (number + 1)}
            name = f"child-{number}"
            await ctx.tasks.register(name=name, handler=order, schedule=delay, input={"number": 5})

    driver = Driver(now=START, handlers=[order])
    driver.register("parent", handler=parent)
    driver.run("parent")
    driver.advance("150s")

    assert [driver.runs(f"child-{number}")[0].result for number in (0, 1)] == [10, 10]
    assert driver.runs("child-2") == []


def test_a_registration_that_cannot_be_made_fails_the_attempt() -> None:
    @handler("parent")
    async def parent(ctx: Context) -> None:
        await ctx.tasks.register(
            name="child", handler="order", schedule=HOURLY, input={"number": "many"}
        )

    driver = Driver(handlers=[order])
    driver.register("parent", handler=parent, retry={"max_attempts": 1})

    run = driver.run("parent")

    assert run.error is not None
    assert run.error.type == "register.invalid"
    assert "Task 'child': /input/number" in run.error.message


def test_a_run_can_set_the_next_fire_time_of_its_task() -> None:
    @handler("polls")
    async def polls(ctx: Context) -> None:
        if ctx.trigger == "schedule":
            ctx.set_next_fire(ctx.scheduled_for + timedelta(minutes=7))

    driver = Driver(now=START)
    driver.register("t", handler=polls, schedule=HOURLY)

    driver.advance("1h20m")

    assert [run.scheduled_for for run in driver.runs("t")] == [
        at("03-01T01:00"),
        at("03-01T01:07"),
        at("03-01T01:14"),
    ]


def test_an_earlier_next_fire_time_delays_no_regular_one() -> None:
    @handler("looks-again")
    async def looks_again(ctx: Context) -> None:
        if ctx.scheduled_for < at("03-01T00:00") + timedelta(seconds=9):
            ctx.set_next_fire(ctx.scheduled_for + timedelta(seconds=1))

    driver = Driver(now=START)
    driver.register("t", handler=looks_again, schedule={"type": "interval", "every": 5})

    driver.advance(20)

    started = [run.scheduled_for - at("03-01T00:00") for run in driver.runs("t")]
    assert [each.seconds for each in started] == [5, 6, 7, 8, 9, 15, 20]


def test_a_task_without_a_schedule_fires_at_the_time_set_by_its_run() -> None:
    @handler("snoozes")
    def snoozes(ctx: SyncContext) -> None:
        ctx.set_next_fire(ctx.scheduled_for + timedelta(hours=5))
        if ctx.trigger == "schedule":
            ctx.set_next_fire(None)

    driver = Driver(now=START)
    driver.register("t", handler=snoozes)
    driver.run("t")
    driver.advance("1d")

    assert [run.started_at for run in driver.runs("t")] == [at("03-01T00:00"), at("03-01T05:00")]
    assert driver.task("t").status == "active"


def test_a_chain_of_tasks_runs() -> None:
    driver = Driver(now=START, handlers=[count])
    driver.register("first", handler=count, schedule=HOURLY)
    driver.register("second", handler="count", schedule={"type": "after", "tasks": ["first"]})

    driver.advance("2h")

    assert [run.input["results"] for run in driver.runs("second")] == [
        {"first": {"cursor": 1}},
        {"first": {"cursor": 2}},
    ]


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


def test_limits_of_concurrency_hold() -> None:
    driver = Driver(now=START)
    for name in ("a", "b"):
        one = {"key": "api", "limit": 1}
        driver.register(name, handler=sleeps, input=60, schedule=HOURLY, concurrency=one)

    driver.advance("1h5m")

    starts = sorted(run.started_at for run in driver.runs() if run.started_at is not None)
    assert starts == [at("03-01T01:00"), at("03-01T01:01")]


def test_constraints_count_as_met() -> None:
    driver = Driver()
    far_away = {"type": "reachable", "host": "db.example.com", "port": 5432}
    driver.register("t", handler=count, constraints=[far_away])

    assert driver.run("t").status == "succeeded"


def test_wrong_tasks_are_refused_with_a_pointer() -> None:
    driver = Driver()

    with pytest.raises(ValueError, match=r"^/schedule/expression: "):
        driver.register("t", handler=count, schedule={"type": "cron", "expression": "9"})
    with pytest.raises(ValueError, match=r"no handler is called 'missing'"):
        driver.register("t", handler="missing")
    with pytest.raises(ValueError, match=r"/input/number: "):
        driver.register("t", handler=order, input={"number": 0})
    with pytest.raises(ValueError, match=r"not a function with the decorator @handler"):
        driver.register("t", handler=random.random)
    with pytest.raises(ValueError, match=r"^/name: "):
        driver.register("no name", handler=count)
    with pytest.raises(ValueError, match=r"^/schedule: "):
        driver.register("t", handler=count, schedule="0 9 * * *")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^/timout: this member is not known here"):
        driver.register("t", handler=count, timout=3)


def test_the_wait_for_a_run_that_does_not_end_is_limited() -> None:
    driver = Driver()
    driver.register("t", handler=sleeps, input=7200, timeout="3h")
    driver.register("web", handler="http", target={"url": "http://localhost/"})

    with pytest.raises(TimeoutError, match=r"^the run of 't' is still running$"):
        driver.run("t", within="1h")
    with pytest.raises(TimeoutError, match=r"^the run of 'web' is still blocked, waiting on hand"):
        driver.run("web", within=1)


def test_the_clock_cannot_be_moved_back() -> None:
    driver = Driver(now=START)

    with pytest.raises(ValueError, match=r"the clock cannot be moved back"):
        driver.advance_to("2026-02-28T00:00:00Z")
    with pytest.raises(ValueError, match=r"offset"):
        driver.advance_to("2026-03-02T00:00:00")


def test_a_garbage_collected_driver_leaves_nothing_open() -> None:
    driver = Driver(now=START)
    driver.register("t", handler=sleeps, input=100, schedule=HOURLY)
    driver.advance("1h1s")
    assert driver.runs("t")[0].status == "running"

    del driver
    gc.collect()  # a warning would be an error
    with Driver() as another:
        another.register("t", handler=count)
        assert another.run("t").result == {"cursor": 1}


@pytest.mark.parametrize("members", [{}, {"constraints": [{"type": "min_free_disk", "bytes": 1}]}])
def test_more_runs_than_one_claim_takes_are_all_executed(
    members: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.testing.fake_service._BATCH", 2)
    driver = Driver(now=START)
    for number in range(5):
        driver.register(f"t{number}", handler=count, schedule=HOURLY, **members)

    driver.advance("1h")

    assert [run.status for run in driver.runs()] == ["succeeded"] * 5


def test_a_replaced_run_is_not_awaited_any_longer() -> None:
    driver = Driver(now=START)
    target = {"url": "http://localhost/"}
    driver.register("web", handler="http", target=target, schedule=HOURLY, overlap_policy="replace")

    run = driver.run("web")

    assert (run.status, run.reason) == ("cancelled", "replaced")
    assert driver.now == at("03-01T01:00")


def test_the_limits_of_an_attempt_are_those_of_the_service() -> None:
    limits = (attempts.MAX_RESULT_BYTES, attempts.MAX_VALUE_BYTES, attempts.MAX_LOG_BYTES)
    members = (
        Settings.model_fields[name].default
        for name in ("max_result_bytes", "max_value_bytes", "max_log_bytes")
    )

    assert limits == tuple(members)
    assert attempts.CANCEL_GRACE == CANCEL_GRACE
