"""Steps of the wall clock, compared with the monotonic one."""

from datetime import timedelta
from typing import Any

from rota.clock import FakeClock
from rota.engine.timing.clock_steps import ClockSteps
from tests.support.factories import DAY, HOUR, MINUTE, NOON


def test_a_clock_step_is_detected_and_a_large_one_forward_puts_the_clock_in_doubt() -> None:
    clock = FakeClock(NOON)
    steps = ClockSteps(clock)
    checks: list[Any] = []

    for by in (timedelta(0), -DAY, timedelta(seconds=30), timedelta(milliseconds=300)):
        clock.advance(MINUTE)
        clock.set(clock.now() + by)
        checks.append((steps.check(), steps.in_doubt))
    clock.set(clock.now() + HOUR)
    checks.append((steps.in_doubt, steps.check()))
    clock.advance(HOUR)

    assert checks == [(0, False), (-86_400, False), (30, False), (0, False), (True, 0)]
    assert not steps.in_doubt


def test_a_suspended_machine_is_treated_as_a_clock_set_forward() -> None:
    """Its monotonic clock stood still as well: nothing is removed by age for a while."""
    clock = FakeClock(NOON)
    steps = ClockSteps(clock)

    clock.set(NOON + 2 * DAY)

    assert steps.in_doubt
