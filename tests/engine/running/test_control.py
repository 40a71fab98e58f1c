"""What handlers can do in their runs, through the whole engine: registrations, fire times, stops."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota import Context, StopReason, SyncContext, handler
from rota.domain.runs.status import RunStatus
from rota.store.tasks.run_commands import CancelRun
from tests.engine.service import Service
from tests.handlers import samples
from tests.handlers.conftest import SAMPLES
from tests.support.factories import eventually

Serve = Callable[..., Service]

AT_ONCE = {"type": "once", "delay": 0}
MANUAL = {"type": "manual"}
HOUR = timedelta(hours=1)


@handler("echo")
async def echo(ctx: Context, input: Any) -> Any:
    return input


def child_of(service: Service, **input: Any) -> Any:
    """Register a task from a run; return its run."""
    wish = {"name": "child", "handler": "echo", "schedule": AT_ONCE, "input": [1, 5.0]} | input
    service.register(handler="registers", schedule=MANUAL, input=wish, retry={"max_attempts": 1})
    return service.ended(service.run_now().id)


def test_a_registered_task_runs_when_the_run_has_succeeded(serve: Serve) -> None:
    @handler("registers")
    async def registers(ctx: Context, input: dict[str, Any]) -> None:
        await ctx.tasks.register(**input)
        await ctx.kv.set("registered", input["name"])

    service = serve(registers, echo)

    assert child_of(service).status is RunStatus.SUCCEEDED
    assert service.entries() == {"registered": "child"}
    (child,) = eventually(lambda: service.runs("child"))
    assert service.ended(child.id).result == "[1,5.0]"


def test_a_handler_in_a_process_registers_and_sets_its_next_fire_time(serve: Serve) -> None:
    service = serve(samples.registers_process, samples.echo, handlers=(str(SAMPLES),))
    wish = {"name": "child", "handler": "echo", "schedule": AT_ONCE, "input": {"a": 5.0}}
    service.register(handler="registers-process", schedule=MANUAL, input=wish)

    service.ended(service.run_now().id)

    (child,) = eventually(lambda: service.runs("child"))
    assert service.ended(child.id).result == '{"a":5.0}'
    assert service.task().next_fire_at == datetime(2126, 5, 1, 12, 0, 0, 1000, tzinfo=UTC)


def test_a_run_whose_registration_is_refused_fails_and_stores_nothing(serve: Serve) -> None:
    @handler("registers")
    def registers(ctx: SyncContext, input: dict[str, Any]) -> None:
        ctx.kv.set("registered", input["name"])
        ctx.tasks.register(**input)

    service = serve(registers, echo)
    run = child_of(service, name="t", on_conflict="reject")

    assert (run.status, run.reason) == (RunStatus.FAILED, "error")
    assert run.error is not None
    assert run.error.type == "register.conflict"
    assert service.entries() == {}


def test_a_run_sets_when_its_task_fires_next(serve: Serve) -> None:
    @handler("sets")
    async def sets(ctx: Context) -> None:
        if ctx.trigger == "manual":
            ctx.set_next_fire(datetime.now(UTC) + timedelta(milliseconds=50))

    service = serve(sets)
    task = service.register(handler="sets", schedule={"type": "interval", "every": "1h"})
    service.ended(service.run_now().id)

    fired = eventually(lambda: [run for run in service.runs() if run.trigger == "schedule"])
    service.ended(fired[0].id)
    assert task.next_fire_at is not None
    assert fired[0].scheduled_for < task.next_fire_at
    # It replaced the regular one.
    assert service.task().next_fire_at == task.next_fire_at + HOUR


class Hears:
    """An `async` and a `def` handler that record why they were requested to end."""

    def __init__(self) -> None:
        self.reasons: dict[str, StopReason] = {}
        self.started = threading.Semaphore(0)
        self.ended = threading.Event()

        @handler("hears")
        async def hears(ctx: Context) -> None:
            ctx.on_stop(lambda reason: self.reasons.setdefault(ctx.task, reason))
            self.started.release()
            await asyncio.Event().wait()

        @handler("hears-sync")
        def hears_sync(ctx: SyncContext) -> None:
            ctx.on_stop(lambda reason: self.reasons.setdefault(ctx.task, reason))
            self.started.release()
            self.ended.wait(20)

        self.handlers = (hears, hears_sync)

    def begin(self, service: Service, **fields: Any) -> list[Any]:
        """Start a run of each handler; return the runs."""
        once = {"max_attempts": 1}
        for name in ("hears", "hears-sync"):
            service.register(name, handler=name, schedule=MANUAL, retry=once, **fields)
        made = [service.run_now(name) for name in ("hears", "hears-sync")]
        for _ in made:
            assert self.started.acquire(timeout=20)
        return made

    def both(self, reason: StopReason) -> bool:
        return self.reasons == {"hears": reason, "hears-sync": reason}


@pytest.fixture
def hears() -> Any:
    made = Hears()
    yield made
    made.ended.set()


def test_a_handler_is_notified_of_a_timeout(serve: Serve, hears: Hears) -> None:
    service = serve(*hears.handlers)

    runs = hears.begin(service, timeout=0.2)

    assert {service.ended(run.id).reason for run in runs} == {"timeout"}
    eventually(lambda: hears.both(StopReason.TIMEOUT))


def test_a_handler_is_notified_of_a_cancellation(serve: Serve, hears: Hears) -> None:
    service = serve(*hears.handlers)
    for run in hears.begin(service):
        service.do(CancelRun(run.id))

    eventually(lambda: hears.both(StopReason.CANCELLED))


def test_a_handler_is_notified_of_a_shutdown(serve: Serve, hears: Hears) -> None:
    service = serve(*hears.handlers, drain_grace=0.0)
    hears.begin(service)

    service.stop()

    assert hears.both(StopReason.SHUTDOWN)


def test_a_handler_is_notified_of_a_lost_lease(serve: Serve, hears: Hears) -> None:
    service = serve(*hears.handlers)
    hears.begin(service)

    service.end_lease(service.holder)
    execution = service.engine._execution
    execution._loop.call_soon(execution._lost)

    eventually(lambda: hears.both(StopReason.LEASE_LOST))
