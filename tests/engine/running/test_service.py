"""From a registration to a result, through the whole engine."""

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rota import Context, Fail, Retry, SyncContext, handler
from rota.db import tables
from rota.domain.reasons import CancelReason, FailReason
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.engine.attempts import runner
from rota.handlers.loading import load
from rota.store.runs.logs import list_lines
from rota.store.tasks.run_commands import CancelRun
from tests.engine.service import Service
from tests.support.factories import DEADLINE, MINUTE, eventually

Serve = Callable[..., Service]
MANUAL: dict[str, Any] = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}
ONE_ATTEMPT = {"max_attempts": 1}
SOON = {"max_attempts": 3, "initial_interval": 0.05, "jitter": False}


@handler("noop")
async def noop(ctx: Context) -> None:
    """Do nothing."""


@handler("count")
async def count(ctx: Context, input: dict[str, Any]) -> dict[str, Any]:
    seen = await ctx.kv.get("seen", 0) + 1
    await ctx.kv.set("seen", seen)
    return {"seen": seen, "input": input}


@handler("count-in-thread")
def count_in_thread(ctx: SyncContext) -> int:
    seen: int = ctx.kv.get("seen", 0) + 1
    ctx.kv.set("seen", seen)
    return seen


class Gate:
    """A handler that signals that it was called, and waits until the gate opens."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.reached = threading.Semaphore(0)
        self.cancelled = threading.Event()
        self._open = threading.Event()

        @handler("gate")
        async def wait(ctx: Context) -> str:
            self.order.append(ctx.task)
            self.reached.release()
            try:
                while not self._open.is_set():  # noqa: ASYNC110  # set in another thread
                    await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            return "through"

        self.handler = wait

    def wait(self) -> None:
        assert self.reached.acquire(timeout=DEADLINE)

    def open(self) -> None:
        self._open.set()


# --- from a registration to a result
def test_tasks_of_every_schedule_run_on_time_and_never_early(serve: Serve) -> None:
    service = serve(count, count_in_thread)
    kinds: dict[str, dict[str, Any]] = {
        "once": {"type": "once", "delay": 0.3},
        "interval": {"type": "interval", "every": 1},
        "cron": {"type": "cron", "expression": "* * * * * *"},
    }
    for name, schedule in kinds.items():
        kind = "count" if name != "interval" else "count-in-thread"
        service.register(name, handler=kind, schedule=schedule, input={"n": 5.0})

    eventually(lambda: service.entries("interval").get("seen", 0) >= 2)
    eventually(lambda: service.entries("cron").get("seen", 0) >= 2)

    (one,) = service.runs("once")
    assert one.result == '{"seen":1,"input":{"n":5.0}}'
    assert service.entries("once") == {"seen": 1}
    assert service.task("once").status is TaskStatus.COMPLETED
    for name in kinds:
        runs = service.runs(name, status=("succeeded",))
        assert [run.attempt for run in runs] == [1] * len(runs)
        assert all(
            timedelta(0) <= run.lateness < MINUTE for run in runs if run.lateness is not None
        )
        assert len({run.scheduled_for for run in runs}) == len(runs)


def test_a_manual_run_is_executed_at_once(serve: Serve) -> None:
    service = serve(count)
    service.register(handler="count", **MANUAL)

    run = service.ended(service.run_now(input='{"x":5.0}').id)

    assert run.status is RunStatus.SUCCEEDED
    assert run.result == '{"seen":1,"input":{"x":5.0}}'


def test_runs_that_waited_while_no_replica_was_running_are_executed_at_the_start(
    serve: Serve,
) -> None:
    first = serve(noop)
    first.register(**MANUAL)
    waiting = first.run_now(scheduled_for=first.now + timedelta(seconds=0.5))
    first.stop()

    second = serve(noop)

    run = second.ended(waiting.id)
    assert run.lateness is not None
    assert run.lateness >= timedelta(0)


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_a_handler_in_a_process_behaves_the_same(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "isolated_handlers.py"
    file.write_text(
        "import os\n"
        "from rota import handler\n"
        "@handler('isolated', isolation='process')\n"
        "def isolated(ctx):\n"
        "    ctx.kv.set('pid', os.getpid())\n"
        "    return ctx.kv.get('seen')\n"
    )
    (known,) = load([str(file)])
    service = serve(known.function, handlers=str(file))
    service.register(handler="isolated", **MANUAL)
    service.set("seen", 7)

    run = service.ended(service.run_now().id)

    assert (run.status, run.result) == (RunStatus.SUCCEEDED, "7")
    assert service.entries()["pid"] != os.getpid()


# --- failures
def test_a_failing_handler_is_retried_until_its_attempts_are_used_up(serve: Serve) -> None:
    @handler("broken")
    async def broken(ctx: Context) -> None:
        await ctx.kv.set("seen", ctx.attempt)
        raise ValueError(f"number {ctx.failures}")

    service = serve(broken)
    service.register(handler="broken", retry=SOON, **MANUAL)

    run = service.ended(service.run_now().id)

    attempts = service.attempts(run.id)
    assert (run.status, run.reason) == (RunStatus.FAILED, FailReason.ATTEMPTS_EXHAUSTED)
    assert [(each.attempt, each.outcome) for each in attempts] == [
        (1, "failed"),
        (2, "failed"),
        (3, "failed"),
    ]
    assert run.error is not None
    assert (run.error.type, run.error.message) == ("ValueError", "number 2")
    waits = [
        later.started_at - earlier.finished_at
        for earlier, later in pairwise(attempts)
        if earlier.finished_at
    ]
    assert timedelta(seconds=0.05) <= waits[0]
    assert timedelta(seconds=0.1) <= waits[1]
    assert service.entries() == {}


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_handler_can_request_another_attempt(serve: Serve, in_thread: bool) -> None:
    def again(ctx: Any) -> str:
        if ctx.attempt == 1:
            raise Retry(after=0.05, reason="busy")
        return "done"

    async def again_async(ctx: Any) -> str:
        return again(ctx)

    service = serve(handler("again")(again if in_thread else again_async))
    service.register(handler="again", **MANUAL)

    run = service.ended(service.run_now().id)

    first, second = service.attempts(run.id)
    assert (first.outcome, second.outcome) == (AttemptOutcome.RETRY, AttemptOutcome.SUCCEEDED)
    assert first.error is not None
    assert first.error.message == "busy"
    assert run.result == '"done"'


def test_a_handler_can_fail_for_good(serve: Serve) -> None:
    @handler("hopeless")
    async def hopeless(ctx: Context) -> None:
        raise Fail("no such customer")

    service = serve(hopeless)
    service.register(handler="hopeless", **MANUAL)

    run = service.ended(service.run_now().id)

    assert (run.status, run.reason, run.attempt) == (RunStatus.FAILED, FailReason.FATAL, 1)


# --- timeouts
def test_an_async_handler_that_exceeds_its_timeout_is_ended(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler)
    service.register(handler="gate", timeout=0.2, retry=ONE_ATTEMPT, **MANUAL)

    run = service.ended(service.run_now().id)

    assert (run.status, run.reason) == (RunStatus.FAILED, FailReason.TIMEOUT)
    assert run.outcome is AttemptOutcome.TIMED_OUT
    assert run.duration is not None
    assert run.duration >= timedelta(seconds=0.2)
    assert gate.cancelled.wait(DEADLINE)


def test_a_thread_that_exceeds_its_timeout_is_abandoned_and_its_writes_have_no_effect(
    serve: Serve,
) -> None:
    release, released = threading.Event(), threading.Event()

    @handler("stuck")
    def stuck(ctx: SyncContext) -> str:
        ctx.kv.set("late", True)
        release.wait(DEADLINE)
        released.set()
        return "late"

    service = serve(stuck, noop)
    service.register(handler="stuck", timeout=0.2, retry=ONE_ATTEMPT, **MANUAL)
    service.register("next", **MANUAL)

    run = service.ended(service.run_now().id)
    release.set()
    assert released.wait(DEADLINE)
    service.ended(service.run_now("next").id)

    assert run.reason == FailReason.TIMEOUT
    assert service.run(run.id) == run
    assert service.entries() == {}


def test_a_handler_that_blocks_its_loop_is_abandoned_too(serve: Serve) -> None:
    release = threading.Event()

    @handler("rude")
    async def rude(ctx: Context) -> None:
        release.wait(DEADLINE)  # the fault

    @handler("in-thread")
    def in_thread(ctx: SyncContext) -> str:
        return "fine"

    service = serve(rude, in_thread)
    service.register(handler="rude", timeout=0.2, retry=ONE_ATTEMPT, **MANUAL)
    service.register("other", handler="in-thread", **MANUAL)

    blocked = service.run_now()
    other = service.ended(service.run_now("other").id)
    ended = service.ended(blocked.id)
    release.set()

    assert other.status is RunStatus.SUCCEEDED
    assert ended.reason == FailReason.TIMEOUT


# --- cancel
def test_a_running_async_handler_is_cancelled(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler)
    service.register(handler="gate", **MANUAL)
    run = service.run_now()
    gate.wait()

    service.do(CancelRun(run.id))

    ended = service.ended(run.id)
    assert (ended.status, ended.reason) == (RunStatus.CANCELLED, CancelReason.REQUESTED)
    assert gate.cancelled.is_set()


@pytest.mark.parametrize("gives_up", [True, False])
def test_a_running_thread_is_requested_to_end_and_its_success_counts(
    serve: Serve, gives_up: bool
) -> None:
    reached = threading.Event()

    @handler("polite")
    def polite(ctx: SyncContext) -> str:
        reached.set()
        eventually(lambda: ctx.cancelled)
        if gives_up:
            raise RuntimeError("cancelled")
        return "finished"

    service = serve(polite)
    service.register(handler="polite", **MANUAL)
    run = service.run_now()
    assert reached.wait(DEADLINE)

    service.do(CancelRun(run.id))

    status = service.ended(run.id).status
    assert status is (RunStatus.CANCELLED if gives_up else RunStatus.SUCCEEDED)


def test_a_handler_that_does_not_end_is_abandoned_after_the_grace_period(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "CANCEL_GRACE", 0.1)
    reached, release = threading.Event(), threading.Event()

    @handler("deaf")
    def deaf(ctx: SyncContext) -> None:
        reached.set()
        release.wait(DEADLINE)

    service = serve(deaf)
    service.register(handler="deaf", **MANUAL)
    run = service.run_now()
    assert reached.wait(DEADLINE)

    service.do(CancelRun(run.id))
    ended = service.ended(run.id)
    release.set()

    assert ended.status is RunStatus.CANCELLED


def test_cancelling_or_deleting_a_task_ends_its_running_attempts(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler)
    service.register("cancelled", handler="gate", **MANUAL)
    service.register("deleted", handler="gate", **MANUAL)
    run = service.run_now("cancelled")
    service.run_now("deleted")
    gate.wait()
    gate.wait()

    service.cancel("cancelled")
    service.delete("deleted")

    assert service.ended(run.id).reason == CancelReason.TASK_CANCELLED
    eventually(lambda: service.count(tables.task) == 1, "the deleted task was not purged")
    eventually(lambda: service.metrics.running._value.get() == 0)


# --- queues
def test_the_backlog_of_one_queue_does_not_delay_another(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler, noop, concurrency=2)
    service.register("slow", handler="gate", queue="slow", **MANUAL)
    service.register("fast", queue="fast", **MANUAL)
    waiting = [service.run_now("slow").id for _ in range(6)]
    gate.wait()
    gate.wait()

    fast = [service.ended(service.run_now("fast").id) for _ in range(3)]
    running = service.runs("slow", status=("running",))
    gate.open()

    assert {run.status for run in fast} == {RunStatus.SUCCEEDED}
    assert len(running) == 2
    assert {service.ended(id).status for id in waiting} == {RunStatus.SUCCEEDED}


def test_higher_priority_runs_first_in_its_queue(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler, concurrency=1)
    for name, priority in (("first", 0), ("low", -5), ("high", 5), ("normal", 0)):
        service.register(name, handler="gate", priority=priority, **MANUAL)
    runs = [service.run_now("first")]
    gate.wait()
    runs += [service.run_now(name) for name in ("low", "high", "normal")]
    gate.open()

    for run in runs:
        service.ended(run.id)

    assert gate.order == ["first", "high", "normal", "low"]


# --- logs and progress
def test_logs_and_progress_of_a_handler_can_be_read_while_it_runs(serve: Serve) -> None:
    reached, release = threading.Event(), threading.Event()

    @handler("chatty")
    async def chatty(ctx: Context) -> None:
        ctx.log.info("hello")
        await ctx.progress(0.5, "half")
        reached.set()
        await asyncio.to_thread(release.wait, DEADLINE)
        ctx.log.warning("bye")

    service = serve(chatty)
    service.register(handler="chatty", **MANUAL)
    run = service.run_now()
    assert reached.wait(DEADLINE)

    def lines() -> list[str]:
        return [line.message for _, line in service.read(list_lines, run.id, (0, 0), 9)]

    eventually(lambda: lines() == ["hello"])
    during = service.run(run.id)
    release.set()
    after = service.ended(run.id)

    assert (during.status, during.progress) == (RunStatus.RUNNING, after.progress)
    assert during.progress is not None
    assert during.progress.fraction == 0.5
    assert lines() == ["hello", "bye"]
