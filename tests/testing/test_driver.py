"""The driver, as the author of a handler uses it: no fixtures, no database to set up, time in no time."""

import gc
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from rota import Context, SyncContext, handler
from rota.errors import NotFound
from rota.testing import Driver
from tests.testing.samples import (
    DAILY,
    EXACT,
    HOURLY,
    START,
    at,
    count,
    count_sync,
    order,
    raises,
    sleeps,
)


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


def test_a_task_does_not_run_on_the_days_of_its_calendar() -> None:
    driver = Driver(now=START)
    driver.set_calendar("closed", ["2026-03-02", date(2026, 3, 3)])
    schedule = {**DAILY, "exclude": [{"calendar": "closed"}]}
    driver.register("digest", handler=count, schedule=schedule)

    driver.advance("4d")
    driver.set_calendar("closed", ["2026-03-06"])
    driver.advance("2d")

    skipped = [run for run in driver.runs("digest") if run.status == "skipped"]
    assert [(run.scheduled_for, run.count, run.reason) for run in skipped] == [
        (at("03-02T09:00"), 2, "excluded"),
        (at("03-06T09:00"), 1, "excluded"),
    ]
    assert len(driver.runs("digest")) == 5


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


def test_the_overlap_policy_applies_to_a_fire_time_while_a_retry_waits() -> None:
    driver = Driver(now=START)
    minutely = {"type": "interval", "every": "1m"}
    driver.register("t", handler=raises, schedule=minutely, input=["retry", 1], retry=EXACT)

    driver.advance("6m")

    first, *skipped = driver.runs("t")
    assert (first.status, first.finished_at) == ("succeeded", at("03-01T00:06"))
    assert [run.reason for run in skipped] == ["overlap"] * 5


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
    with pytest.raises(ValueError, match=r"^/timout: this field is not known here"):
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


@pytest.mark.parametrize("fields", [{}, {"constraints": [{"type": "min_free_disk", "bytes": 1}]}])
def test_more_runs_than_one_claim_takes_are_all_executed(
    fields: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.testing.fake_service._BATCH", 2)
    driver = Driver(now=START)
    for number in range(5):
        driver.register(f"t{number}", handler=count, schedule=HOURLY, **fields)

    driver.advance("1h")

    assert [run.status for run in driver.runs()] == ["succeeded"] * 5
