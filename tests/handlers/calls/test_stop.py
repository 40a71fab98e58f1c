"""The stop of an attempt: its hooks, its reason, and what comes after."""

import pytest

from rota import StopReason
from rota.domain.runs.outcomes import Cancelled, Failed, Released, Succeeded
from tests.handlers.bench import Bench, Running

EVERY_KIND = ["notified", "notified-sync", "notified-process", "notified-process-async"]


def ready(bench: Bench, name: str, input: str = '"well"') -> Running:
    running = bench.begin(name, input)
    running.wait_for_line("ready")
    return running


@pytest.mark.parametrize("name", EVERY_KIND)
@pytest.mark.parametrize("reason", [StopReason.CANCELLED, StopReason.TIMEOUT])
def test_a_hook_is_called_once_with_the_reason(bench: Bench, name: str, reason: StopReason) -> None:
    running = ready(bench, name)

    bench.cancel(running, reason=reason)
    bench.cancel(running, reason=StopReason.LEASE_LOST)

    outcome = running.outcome()
    lines = [line.message for line in running.lines()]
    assert lines.count(f"first {reason} {reason}") == 1
    # A thread continues after its hook, and its result counts.
    assert isinstance(
        outcome, Succeeded if name in {"notified-sync", "notified-process"} else Cancelled
    )


@pytest.mark.parametrize("name", ["notified", "notified-process-async"])
def test_hooks_come_before_the_cancellation(bench: Bench, name: str) -> None:
    running = ready(bench, name)

    bench.cancel(running)

    assert running.outcome() == Cancelled()
    assert [line.message for line in running.lines()] == [
        "first cancelled cancelled",
        "second cancelled",
        "interrupted cancelled",
    ]


@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_hook_that_raises_is_logged_and_ends_nothing_else(bench: Bench, name: str) -> None:
    running = ready(bench, name, '"faulty"')

    bench.cancel(running)

    assert not isinstance(running.outcome(), Failed)
    lines = [line.message for line in running.lines() if line.level == "error"]
    assert lines == ["a stop hook raised ValueError: a faulty hook"]


def test_a_hook_that_awaits_a_cancelled_task_delays_nothing(bench: Bench) -> None:
    running = ready(bench, "ends-its-own-task-in-a-hook")

    bench.cancel(running)

    assert running.outcome() == Cancelled()
    lines = [line.message for line in running.lines() if line.level == "error"]
    assert lines == ["a stop hook raised CancelledError: "]


@pytest.mark.parametrize("name", ["notified-process", "notified-process-async"])
def test_a_child_that_is_to_be_killed_has_its_hooks_called_first(bench: Bench, name: str) -> None:
    running = ready(bench, name)

    bench.cancel(running, force=True, reason=StopReason.TIMEOUT)

    running.outcome()
    assert "first timeout timeout" in [line.message for line in running.lines()]


@pytest.mark.parametrize("name", ["notified-slowly", "notified-stubbornly"])
def test_a_hook_that_takes_too_long_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("rota.sdk.stop.HOOK_SECONDS", 0.1)
    running = bench.begin(name)
    assert bench.module("waits").started.wait(20)

    bench.cancel(running)

    assert running.outcome() == Cancelled()
    assert [line.message for line in running.lines()] == ["a stop hook took longer than 0.1 s"]


def test_a_child_whose_hook_takes_too_long_is_killed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.handlers.processes.connection.HOOK_SECONDS", 0.2)
    running = ready(bench, "notified-slowly-process")

    bench.cancel(running, force=True)

    assert running.outcome() == Cancelled()
    assert "in the hook" in [line.message for line in running.lines()]


def test_a_hook_that_comes_after_the_stop_is_called_at_once(bench: Bench) -> None:
    samples = bench.module("waits")
    running = bench.begin("notified-late")
    assert samples.started.wait(20)
    bench.cancel(running)
    assert running.outcome() == Succeeded('["sync cancelled","async cancelled"]', (), 5)

    samples.started.clear()
    running = bench.begin("notified-late-sync")
    assert samples.started.wait(20)
    bench.cancel(running, reason=StopReason.SHUTDOWN)
    samples.released.set()
    assert running.outcome() == Succeeded('["shutdown"]', (), 5)


def test_a_def_handler_accepts_no_coroutine_function_as_a_hook(bench: Bench) -> None:
    outcome = bench.run("notified-async-hook-sync")

    assert isinstance(outcome, Failed)
    assert outcome.error.message == "the stop hook of a `def` handler is a plain function"


def test_a_stop_of_the_executor_calls_hooks_and_waits_up_to_a_second(own: Bench) -> None:
    runnings = [ready(own, name) for name in EVERY_KIND]

    own.executor.stop()

    for running in runnings:
        assert running.outcome() == Released()
        assert "first shutdown shutdown" in [line.message for line in running.lines()]


def test_the_other_calls_on_a_stuck_loop_are_notified_of_the_reason(
    own: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.handlers.calls.async_calls.STUCK_SECONDS", 0.3)
    innocent = ready(own, "notified")
    samples = own.module("waits")
    samples.started.clear()
    blocker = own.begin("blocks-the-loop")
    assert samples.started.wait(20)
    while not own.executor.replace_stuck_loop():
        assert not blocker.ended

    assert innocent.outcome() == Released()
    samples.released.set()
    innocent.wait_for_line("first loop_blocked")
