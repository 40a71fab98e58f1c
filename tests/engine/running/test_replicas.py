"""Services beside other replicas and transactions, and services with clocks that are set."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from rota import Context, handler
from rota.clock import FakeClock
from rota.db import tables
from rota.db.command import Command, Transaction
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.errors import Unavailable
from rota.store.tasks.run_commands import CancelRun
from tests.engine.running.test_service import MANUAL, Gate, Serve, noop
from tests.support.factories import DEADLINE, HOUR, MINUTE, NOON, eventually, foreign_lock, once

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
    monkeypatch.setattr("rota.engine.execution._TICK", 0.02)
    failures: list[Exception] = [RuntimeError("a bug"), Unavailable("no database")]
    service = serve(noop)
    look = service.engine._execution._cancels
    looked = threading.Event()

    def fail_first() -> list[Any]:
        if failures:
            raise failures.pop()
        looked.set()
        return look()

    monkeypatch.setattr(service.engine._execution, "_cancels", fail_first)

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
