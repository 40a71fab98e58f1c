"""Clocks that are set while the service runs: the wall clock jumps, the monotonic one continues."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine

from rota.clock import FakeClock, SystemClock
from rota.domain.runs.status import RunStatus
from tests.engine.running.test_service import MANUAL, Gate, noop
from tests.engine.service import Service
from tests.support.factories import DAY, HOUR, NOON, eventually

Serve = Callable[..., Service]
STEPS = {
    "10 s": timedelta(seconds=10),
    "a day": DAY,
    "a month": 30 * DAY,
    "a year": 365 * DAY,
    "ten years": 3_652 * DAY,
    "an hour back": -HOUR,
}
# A stop does not wait for a clock (seconds).
PROMPT = 10.0


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_setting_the_clock_loses_no_lease_and_stops_no_write(serve: Serve, step: timedelta) -> None:
    gate = Gate()
    service = serve(gate.handler, noop, lease_ttl=1, maintenance_interval=0.1)
    service.register("long", handler="gate", **MANUAL)
    service.register("tick", schedule={"type": "interval", "every": 1})
    long = service.run_now("long")
    gate.wait()
    holder = service.holder

    with time_machine.travel(SystemClock().now() + step, tick=True):
        service.register("after", schedule={"type": "once", "delay": 0.1})
        eventually(lambda: service.runs("after", status=("succeeded",)))
        _renewals(service, 4)
        _cleanings(service, 2)
        gate.open()
        ended = service.ended(long.id)
        stopped_at = time.monotonic()
        service.stop()

    assert time.monotonic() - stopped_at < PROMPT
    assert (ended.status, ended.attempt) == (RunStatus.SUCCEEDED, 1)
    assert service.holder == holder
    assert len(gate.order) == 1


def _renewals(service: Service, number: int) -> None:
    """Wait until the lease was renewed `number` times."""
    seen = set()

    def renewed() -> bool:
        seen.add(service.engine._execution.lease._trusted_until)
        return len(seen) > number

    eventually(renewed, "the lease is not renewed")


def _cleanings(service: Service, number: int) -> None:
    """Wait until maintenance was done `number` times."""
    done = []
    resealing = service.engine._maintenance._key_rotation
    sweep = resealing.sweep

    def noted() -> int:
        done.append(True)
        return sweep()

    resealing.sweep = noted  # type: ignore[method-assign]
    eventually(lambda: len(done) >= number, "maintenance is not done")


def test_a_handler_that_stood_still_with_the_whole_process_is_not_treated_as_blocking(
    serve: Serve,
) -> None:
    gate = Gate()
    service = serve(gate.handler, watchdog_interval=60)
    service.register(handler="gate", **MANUAL)
    run = service.run_now()
    gate.wait()
    coroutines = service.engine._resources.executor._async
    loop = coroutines._loop

    loop._beat_at -= 18
    service.engine._check(18.0)
    gate.open()

    assert service.ended(run.id).attempt == 1
    assert coroutines._loop is loop


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_reasons_for_not_serving_are_reported(serve: Serve) -> None:
    clock = FakeClock(NOON)
    service = serve(noop, clock=clock, lease_ttl=600, stale_after=3_600)

    at_first = service.engine.troubles()
    service.writer.stop()
    clock.advance(timedelta(seconds=481))
    then = service.engine.troubles()

    assert at_first == []
    assert "the lease was not renewed in time" in then
