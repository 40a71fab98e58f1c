"""Constraints in a running service."""

import socket
import time
from datetime import timedelta

import pytest

from rota import Context, SyncContext, handler
from rota.engine.checks import constraint_probes
from tests.engine.constraints import (
    NEVER,
    READY,
    Serve,
    closed_port,
    listening,
    port_constraint,
    register,
    waits_for,
)
from tests.support.factories import DEADLINE, eventually


@handler("noop")
async def noop(ctx: Context) -> None:
    """Do nothing."""


@handler("prepare")
async def prepare(ctx: Context) -> None:
    """Set the entry `ready`."""
    await ctx.kv.set("ready", True)


def test_a_client_that_writes_an_entry_starts_the_run(serve: Serve) -> None:
    service = serve(noop, constraint_interval=NEVER)
    register(service, "t", READY)
    run = service.run_now()
    eventually(lambda: waits_for(service) == ["constraint:kv"])

    service.set("ready", True)

    assert service.ended(run.id).status == "succeeded"


def test_a_run_of_another_task_that_writes_an_entry_starts_the_run(serve: Serve) -> None:
    service = serve(noop, prepare, constraint_interval=NEVER)
    register(service, "other", handler="prepare")
    register(service, "t", {**READY, "task": "other"})
    run = service.run_now()
    eventually(lambda: waits_for(service) == ["constraint:kv"])

    service.run_now("other")

    assert service.ended(run.id).status == "succeeded"


def test_a_retry_waits_for_its_constraints_again(serve: Serve) -> None:
    @handler("close-the-door")
    def close_the_door(ctx: SyncContext) -> int:
        service.set("ready", False)
        if ctx.attempt == 1:
            raise ValueError("broken")
        return ctx.attempt

    service = serve(close_the_door, constraint_interval=NEVER)
    retry = {"initial_interval": 0.01, "jitter": False}
    register(service, "t", READY, handler="close-the-door", retry=retry)
    service.set("ready", True)
    run = service.run_now()
    eventually(
        lambda: service.run(run.id).failures == 1 and waits_for(service) == ["constraint:kv"]
    )

    service.set("ready", True)

    assert service.ended(run.id).result == "2"


def test_a_deadline_is_enforced_without_a_round_at_its_interval(serve: Serve) -> None:
    service = serve(noop, constraint_interval=NEVER)
    register(service, "t", {**READY, "deadline": 0.2})

    run = service.ended(service.run_now().id)

    assert (run.status, run.reason) == ("skipped", "constraint_deadline")
    assert run.finished_at is not None
    assert timedelta(seconds=0.2) <= run.finished_at - run.created_at < timedelta(seconds=10)


def test_a_change_without_an_effect_is_noticed_after_the_interval(serve: Serve) -> None:
    service = serve(noop, constraint_interval=0.05)
    port = closed_port()
    register(service, "t", port_constraint(port))
    run = service.run_now()
    eventually(lambda: waits_for(service) == ["constraint:reachable"])

    with socket.create_server(("127.0.0.1", port)):
        assert service.ended(run.id).status == "succeeded"


def test_a_target_that_does_not_answer_delays_neither_other_runs_nor_a_stop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraint_probes, "TIMEOUT", 3 * DEADLINE)
    service = serve(noop, constraint_interval=NEVER)
    with listening() as silent, listening() as port:
        for number in range(20):
            url = f"http://127.0.0.1:{silent}/{number}"
            register(service, f"dead-{number}", {"type": "reachable", "url": url})
            service.run_now(f"dead-{number}")
        register(service, "t", port_constraint(port))
        began = time.monotonic()

        assert service.ended(service.run_now().id).status == "succeeded"
        service.stop()

        assert time.monotonic() - began < DEADLINE


def test_a_service_checks_waiting_runs_when_it_starts(serve: Serve) -> None:
    first = serve(noop, constraint_interval=NEVER)
    register(first, "t", READY)
    run = first.run_now()
    first.engine._constraints.stop()
    first.set("ready", True)
    first.stop()

    second = serve(noop, constraint_interval=NEVER)

    assert second.ended(run.id).status == "succeeded"
