"""From a registration to a result, through the whole engine."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from rota import Context, Fail, Retry, SyncContext, handler
from rota.clock import FakeClock
from rota.db import tables
from rota.db.writer import Command, Transaction
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason, FailReason
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.engine.attempts import runner
from rota.errors import Unavailable
from rota.handlers.http.handler import HTTP
from rota.handlers.loading import load
from rota.store.runs.logs import list_lines
from rota.store.runs.queues import PutQueue
from rota.store.tasks.run_commands import CancelRun
from tests.engine.service import Service
from tests.handlers.target import serving
from tests.support.factories import DEADLINE, HOUR, MINUTE, NOON, eventually, foreign_lock, once

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


# --- stops, crashes, restarts
def test_a_stop_waits_for_runs_that_end_within_the_grace_period(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler, drain_grace=DEADLINE)
    service.register(handler="gate", **MANUAL)
    run = service.run_now()
    gate.wait()

    stopping = threading.Thread(target=service.engine.stop)
    stopping.start()
    waiting = service.run_now()
    gate.open()
    stopping.join(DEADLINE)

    assert not stopping.is_alive()
    assert service.run(run.id).status is RunStatus.SUCCEEDED
    assert service.run(waiting.id).attempt == 0
    service.engine.stop = lambda: None  # type: ignore[method-assign]  # it has stopped


def test_runs_that_outlast_the_grace_period_are_released_and_another_replica_finishes_them(
    serve: Serve,
) -> None:
    gate = Gate()
    first = serve(gate.handler, drain_grace=0.05)
    first.register(handler="gate", **MANUAL)
    runs = [first.run_now().id for _ in range(3)]
    for _ in runs:
        gate.wait()
    first.stop()
    gate.open()

    second = serve(gate.handler)
    ended = [second.ended(id) for id in runs]

    assert {(run.status.value, run.attempt, run.failures) for run in ended} == {("succeeded", 2, 0)}
    assert [each.outcome for each in second.attempts(runs[0])] == ["released", "succeeded"]
    assert second.count(tables.replica) == 1


class _EndLeases(Command[None]):
    def apply(self, tx: Transaction) -> None:
        tx.connection.execute(tables.replica.delete())


def test_a_process_that_lost_its_lease_abandons_its_attempts(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler, lease_ttl=1)
    service.register(handler="gate", **MANUAL)
    run = service.run_now()
    gate.wait()
    holder = service.holder

    service.do(_EndLeases())
    assert gate.cancelled.wait(DEADLINE)
    gate.wait()  # the next attempt, under a new lease
    gate.open()

    ended = service.ended(run.id)
    assert service.holder != holder
    assert (ended.status, ended.attempt) == (RunStatus.SUCCEEDED, 2)
    assert [each.outcome for each in service.attempts(run.id)] == ["lost", "succeeded"]


class _Suspect(Command[None]):
    """Lose a run once, as if the process that ran it had died."""

    def __init__(self, run_id: Id) -> None:
        self._run_id = run_id

    def apply(self, tx: Transaction) -> None:
        mine = tables.run.c.id == self._run_id
        assert tx.connection.execute(update(tables.run).where(mine).values(lost_count=1)).rowcount


def test_a_lost_run_is_executed_again_although_its_task_calls_a_url_now(serve: Serve) -> None:
    """An `http` call cannot end the process, but the run must still be claimed as a suspect."""
    service = serve(noop, HTTP)
    with serving() as site:
        service.do(PutQueue(name="default", concurrency=None, paused=True, by="me"))
        service.register(handler="noop", **MANUAL)
        run = service.run_now()
        service.writer.call(_Suspect(run.id))
        target = {"url": f"http://127.0.0.1:{site.port}/"}
        service.register(handler="http", target=target, on_conflict="update", **MANUAL)
        service.do(PutQueue(name="default", concurrency=None, paused=False, by="me"))

        assert service.ended(run.id).status is RunStatus.SUCCEEDED
        assert len(site.received) == 1


class _Steal(Command[None]):
    """Give a run to another holder, as a takeover would."""

    def __init__(self, run_id: Id) -> None:
        self._run_id = run_id

    def apply(self, tx: Transaction) -> None:
        mine = tables.run.c.id == self._run_id
        tx.connection.execute(
            update(tables.run).where(mine).values(attempt=tables.run.c.attempt + 1)
        )


def test_an_attempt_that_lost_its_run_is_fenced_and_its_slot_is_free_again(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler, count, concurrency=1)
    service.register(handler="gate", **MANUAL)
    service.register("next", handler="count", **MANUAL)
    run = service.run_now()
    gate.wait()

    service.do(_Steal(run.id))
    gate.open()
    following = service.ended(service.run_now("next").id)

    assert following.status is RunStatus.SUCCEEDED
    stolen = service.run(run.id)
    assert (stolen.status, stolen.result, stolen.attempt) == (RunStatus.RUNNING, None, 2)


def test_a_start_without_a_database_fails_and_can_be_stopped(migrated_database_url: str) -> None:
    service = Service(migrated_database_url, noop)
    service.writer.start()
    service.writer.stop()

    with pytest.raises(Unavailable):
        service.engine.start()
    service.engine.stop()
    service.database.close()


def test_a_stop_without_a_database_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.engine.supervisor._TIMEOUT", 0.3)
    gate = Gate()
    service = serve(gate.handler, drain_grace=0)
    service.register(handler="gate", **MANUAL)
    run = service.run_now()
    gate.wait()
    service.writer.stop()

    service.engine.stop()

    assert service.run(run.id).status is RunStatus.RUNNING
    service._stopped = True
    service.database.close()


# --- other replicas
postgres_only = pytest.mark.parametrize(
    "database_engine", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


@postgres_only
def test_a_replica_executes_what_another_registered_and_ends_what_another_cancels(
    serve: Serve,
) -> None:
    gate = Gate()
    asking = serve(noop)
    working = serve(gate.handler)
    asking.register(handler="gate", **MANUAL)
    run = asking.run_now()
    gate.wait()

    asking.do(CancelRun(run.id))

    assert asking.ended(run.id).status is RunStatus.CANCELLED
    assert gate.cancelled.wait(DEADLINE)
    assert asking.holder != working.holder


@postgres_only
def test_of_many_replicas_each_fire_time_is_fired_by_one(serve: Serve) -> None:
    replicas = [serve(noop) for _ in range(3)]
    for number in range(5):
        schedule = {"type": "cron", "expression": "* * * * * *"}
        replicas[number % 3].register(f"t{number}", schedule=schedule)

    names = [f"t{number}" for number in range(5)]
    succeeded = {"status": ("succeeded",)}
    eventually(lambda: all(len(replicas[0].runs(name, **succeeded)) >= 2 for name in names))

    for name in names:
        times = [run.scheduled_for for run in replicas[0].runs(name)]
        assert len(set(times)) == len(times)
        assert all(run.attempt <= 1 for run in replicas[0].runs(name))


@postgres_only
def test_a_task_locked_by_another_transaction_stops_neither_other_tasks_nor_their_writes(
    serve: Serve,
) -> None:
    """As a frozen replica holds it, or an administrator's session; only this task is delayed."""
    service = serve(noop)
    each_second = {"type": "cron", "expression": "* * * * * *"}
    for name in ("locked", "other"):
        service.register(name, schedule=each_second, overlap_policy="allow")
    eventually(lambda: service.runs("locked") and service.runs("other"))

    with foreign_lock(service, select(tables.task.c.id).where(tables.task.c.name == "locked")):
        fired = service.task("other").fired
        before = service.task("locked")
        began = time.monotonic()
        for number in range(10):
            service.set("k", number, "other")
        wrote = time.monotonic() - began
        eventually(lambda: service.task("other").fired >= fired + 3)
        meanwhile = service.task("locked")
    eventually(lambda: service.task("locked").fired >= before.fired + 4)
    due = {name: len(service.runs(name)) for name in ("locked", "other")}
    eventually(lambda: all(run.status.final for run in service.runs("locked")[: due["locked"]]))
    eventually(lambda: all(run.status.final for run in service.runs("other")[: due["other"]]))

    # A lock was waited for ten seconds at a time.
    assert wrote < 5
    assert meanwhile.fired == before.fired
    for name, number in due.items():
        runs = service.runs(name)[:number]
        last = runs[-1].scheduled_until or runs[-1].scheduled_for
        seconds = (last - runs[0].scheduled_for) // timedelta(seconds=1)
        assert sum(run.count for run in runs) == seconds + 1, "a fire time is missing"
        assert len({run.scheduled_for for run in runs}) == len(runs)
        assert all(run.attempt <= 1 for run in runs)
        # Fire times that were missed meanwhile are a span of their own.
        assert {run.status for run in runs} <= {RunStatus.SUCCEEDED, RunStatus.SKIPPED}


def test_after_a_tick_that_failed_the_next_one_comes(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.engine.supervisor._TICK", 0.02)
    failures: list[Exception] = [RuntimeError("a bug"), Unavailable("no database")]
    service = serve(noop)
    look = service.engine._cancels
    looked = threading.Event()

    def fail_first() -> list[Any]:
        if failures:
            raise failures.pop()
        looked.set()
        return look()

    monkeypatch.setattr(service.engine, "_cancels", fail_first)

    assert looked.wait(DEADLINE)
    assert failures == []


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_a_blocked_handler_loop_is_reported(serve: Serve) -> None:
    release = threading.Event()

    @handler("rude")
    async def rude(ctx: Context) -> None:
        release.wait(DEADLINE)

    service = serve(rude)
    service.register(handler="rude", **MANUAL)
    service.run_now()

    eventually(lambda: service.metrics.handler_lag._value.get() > 1)
    lag, age = service.engine._resources.executor.lag(), service.engine.firing_age()
    release.set()

    assert lag > 1 > age


# --- clocks
def test_a_clock_that_was_set_back_does_not_stop_the_service(serve: Serve) -> None:
    clock = FakeClock(NOON)
    service = serve(noop, clock=clock, lease_ttl=600)
    service.register(schedule=once(NOON + HOUR))
    clock.set(NOON - HOUR)
    service.register("before", schedule=once(NOON - MINUTE))

    clock.set(NOON - MINUTE)
    (before,) = eventually(lambda: service.runs("before"))
    nothing = service.runs()
    clock.set(NOON + HOUR)
    (run,) = eventually(service.runs)

    assert before.scheduled_for == NOON - MINUTE
    assert nothing == []
    assert run.scheduled_for == NOON + HOUR


def test_a_task_that_cannot_be_planned_does_not_stop_the_others(serve: Serve) -> None:
    service = serve(noop)
    yearly = {"type": "cron", "expression": "* * * * * *", "timezone": "Asia/Tokyo"}
    service.register("broken", schedule=yearly)
    service.do(_Forget("Asia/Tokyo"))
    service.register("fine", schedule={"type": "once", "delay": 0.1})

    eventually(lambda: service.runs("fine", status=("succeeded",)))
    eventually(lambda: service.task("broken").status is TaskStatus.PAUSED)

    broken = service.task("broken")
    assert broken.status_reason == "unplannable"


class _Forget(Command[None]):
    """Replace a stored time zone by an unknown one, as a new version of tzdata may do."""

    def __init__(self, zone: str) -> None:
        self._zone = zone

    def apply(self, tx: Transaction) -> None:
        definition = tables.task.c.definition
        renamed = func.replace(definition, self._zone, "Atlantis/Capital")
        tx.connection.execute(update(tables.task).values(definition=renamed))
