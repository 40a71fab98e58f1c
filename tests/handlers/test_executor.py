"""What holds for handlers of every kind, and what only those in this process can do wrong."""

import json
import threading
from datetime import timedelta

import pytest

from rota.domain.kv.entries import KvChange, KvSnapshot
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Cancelled, Failed, Fatal, Released, RetryRequested, Succeeded
from rota.domain.trace_context import traceparent_of_attempt
from rota.errors import Unavailable
from rota.handlers.calls.async_calls import STUCK_SECONDS
from tests.handlers.bench import Bench, wait_until
from tests.handlers.conftest import SAMPLES

KINDS = ["", "-sync", "-process"]


def error_of(outcome: object) -> RunError:
    assert isinstance(outcome, Failed), outcome
    return outcome.error


def test_a_returned_value_is_the_result(bench: Bench) -> None:
    assert bench.run("echo", '{"a":[1,5.0,"ü",null]}') == Succeeded('{"a":[1,5.0,"ü",null]}', (), 5)
    assert bench.run("echo-sync", "[1e22]") == Succeeded("[1e+22]", (), 5)


@pytest.mark.parametrize("name", ["trace", "trace-process"])
def test_a_handler_knows_the_trace_that_it_passes_on(bench: Bench, name: str) -> None:
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    running = bench.begin(name, traceparent=given)
    outcome = running.outcome()

    passed = traceparent_of_attempt(given, running.call.run_id, running.call.attempt)
    assert isinstance(outcome, Succeeded)
    assert outcome.result == json.dumps(passed)
    bare = bench.run(name)
    assert isinstance(bare, Succeeded)
    assert bare.result == "null"


@pytest.mark.parametrize("name", ["facts", "facts-process"])
def test_a_handler_knows_its_run(bench: Bench, name: str) -> None:
    running = bench.begin(name, '{"a":1}')

    outcome = running.outcome()
    assert isinstance(outcome, Succeeded), outcome
    assert json.loads(outcome.result) == [
        str(running.call.run_id),
        2,
        1,
        "some-task",
        "schedule",
        {"a": 1},
    ]


def test_a_model_is_read_and_returned(bench: Bench) -> None:
    assert bench.run("double", '{"number":21}') == Succeeded('{"number":42}', (), 5)


def test_a_dataclass_is_returned(bench: Bench) -> None:
    assert bench.run("box") == Succeeded('{"sizes":[1,2]}', (), 5)


def test_input_that_the_model_no_longer_accepts_is_fatal(bench: Bench) -> None:
    outcome = bench.run("double", '{"number":0}')

    assert isinstance(outcome, Fatal)
    assert outcome.error.type == "input.invalid"
    assert "/number: give at least 1" in outcome.error.message


@pytest.mark.parametrize("name", ["count", "count-sync", "count-process", "count-process-async"])
def test_kv_is_read_from_one_snapshot_and_written_with_the_outcome(bench: Bench, name: str) -> None:
    assert bench.run(name) == Succeeded(
        '[41,42,[["count",42]]]',
        (
            KvChange("count", b"42", timedelta(minutes=1), replaces=True),
            KvChange("name", None, replaces=True),
        ),
        7,
    )


def test_an_attempt_that_read_nothing_has_the_revision_of_its_claim(bench: Bench) -> None:
    assert bench.run("write-only") == Succeeded("null", (KvChange("count", b"1"),), 5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("count", "rota.errors.Unavailable"),
        ("count-sync", "rota.errors.Unavailable"),
        ("count-process", "rota.errors.Unavailable"),
    ],
)
def test_a_kv_that_cannot_be_read_fails_the_attempt(bench: Bench, name: str, kind: str) -> None:
    def load() -> KvSnapshot:
        raise Unavailable("no database")

    error = error_of(bench.run(name, load_kv=load))
    assert error.type == kind
    assert "no database" in error.message


def test_a_wrong_key_fails_where_it_is_written(bench: Bench) -> None:
    assert "'_result' cannot be written" in error_of(bench.run("wrong-key")).message


@pytest.mark.parametrize("kind", KINDS)
def test_retry_and_fail_are_requested_by_raising(bench: Bench, kind: str) -> None:
    assert bench.run(f"raises{kind}", '"retry"') == RetryRequested(
        timedelta(minutes=5), RunError("retry", "not yet")
    )
    assert bench.run(f"raises{kind}", '"fail"') == Fatal(RunError("fail", "no such customer"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("raised", "type_", "message"),
    [
        ("value", "ValueError", "a wrong value"),
        ("clumsy", "Clumsy", "(its text cannot be shown: __str__ raised RuntimeError)"),
        ("exit", "SystemExit", "3"),
        ("interrupt", "KeyboardInterrupt", ""),
        ("generator", "GeneratorExit", ""),
        ("cancelled", "asyncio.exceptions.CancelledError", ""),
        ("nul", "ValueError", "a\\x00b\\ud800"),
    ],
)
def test_any_other_exception_fails_the_attempt(
    bench: Bench, kind: str, raised: str, type_: str, message: str
) -> None:
    error = error_of(bench.run(f"raises{kind}", f'"{raised}"'))

    assert error.type.endswith(type_)
    assert error.message == message
    assert error.traceback is not None
    assert "samples.py" in error.traceback
    assert "app/rota/handlers" not in error.traceback


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_bounded(bench: Bench, kind: str) -> None:
    error = error_of(bench.run(f"raises{kind}", '"huge"'))

    assert len(error.message) < 2_100
    assert error.traceback is not None
    assert len(error.traceback) == 16_384


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("result", ["nan", "set", "bytes", "cycle", "deep", "surrogate", "nul"])
def test_a_result_that_json_cannot_carry_fails_the_attempt(
    bench: Bench, kind: str, result: str
) -> None:
    error = error_of(bench.run(f"returns{kind}", f'"{result}"'))

    assert error.type == "result.not_json"
    assert error.message.startswith("The result cannot be stored: ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_over_the_limit_fails_the_attempt(bench: Bench, kind: str) -> None:
    assert error_of(bench.run(f"returns{kind}", '"huge"')) == RunError(
        "result.too_large", "The result has 100002 bytes; the limit is 10000."
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_whose_own_code_raises_fails_the_attempt(bench: Bench, kind: str) -> None:
    assert error_of(bench.run(f"returns{kind}", '"trap"')).type == "RuntimeError"


def test_a_cancel_ends_a_coroutine(bench: Bench) -> None:
    running = bench.begin("waits")
    assert bench.module("waits").started.wait(20)

    bench.cancel(running)
    bench.cancel(running)

    assert running.outcome() == Cancelled()


@pytest.mark.parametrize("name", ["waits", "waits-process"])
def test_a_cancel_right_after_the_begin_is_not_lost(bench: Bench, name: str) -> None:
    runnings = []
    for _ in range(20):
        running = bench.begin(name)
        bench.cancel(running)
        runnings.append(running)

    assert {running.outcome() for running in runnings} == {Cancelled()}


def test_a_thread_is_requested_to_end(bench: Bench) -> None:
    running = bench.begin("waits-sync")
    samples = bench.module("waits-sync")
    assert samples.started.wait(20)

    bench.cancel(running, force=True)
    assert not running.ended
    samples.released.set()

    assert running.outcome() == Cancelled()


def test_a_finish_before_the_cancel_wins(bench: Bench) -> None:
    running = bench.begin("echo-sync", "1")
    running.outcome()

    bench.cancel(running)

    assert running.outcomes == [Succeeded("1", (), 5)]


def test_stuck_threads_delay_no_other_attempts(bench: Bench) -> None:
    stuck = [bench.begin("waits-sync") for _ in range(50)]

    assert bench.run("echo-sync", "1") == Succeeded("1", (), 5)

    bench.module("waits-sync").released.set()
    assert {running.outcome() for running in stuck} == {Succeeded('"waited"', (), 5)}


def test_threads_are_reused(own: Bench) -> None:
    before = set(threading.enumerate())
    for _ in range(100):
        own.run("echo-sync")

    assert len(set(threading.enumerate()) - before) < 20


def test_kv_reads_of_many_async_handlers_share_a_few_threads(own: Bench) -> None:
    before = set(threading.enumerate())
    runs = [own.begin("count") for _ in range(200)]
    for running in runs:
        assert isinstance(running.outcome(), Succeeded)

    names = [thread.name for thread in set(threading.enumerate()) - before]
    assert sum(name.startswith("rota-kv-") for name in names) <= 16
    assert not any(name.startswith("rota-handler-") for name in names)


def test_a_stuck_loop_is_kept_while_there_is_no_thread_for_another(
    own: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = own.begin("blocks-the-loop")
    assert own.module("waits").started.wait(20)
    wait_until(lambda: own.executor.lag() > STUCK_SECONDS, "no lag was seen")

    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        assert not own.executor.replace_stuck_loop()
    assert own.executor.replace_stuck_loop()
    assert own.run("echo", "1") == Succeeded("1", (), 5)
    own.module("waits").released.set()
    running.outcome()


def test_a_handler_that_blocks_the_loop_is_named(own: Bench) -> None:
    running = own.begin("blocks-the-loop")
    assert own.module("waits").started.wait(20)

    wait_until(lambda: own.executor.lag() > 0.3, "no lag was seen")
    assert own.executor.blocking() == running.call.run_id
    assert own.run("echo-sync", "1") == Succeeded("1", (), 5)

    own.module("waits").released.set()
    assert running.outcome() == Succeeded('"unblocked"', (), 5)
    wait_until(lambda: own.executor.lag() < 0.3, "the lag stayed")
    assert own.executor.blocking() is None


@pytest.fixture
def impatient(own: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """An executor that leaves a stuck loop soon."""
    monkeypatch.setattr("rota.handlers.calls.async_calls.STUCK_SECONDS", 0.3)
    return own


def test_a_stuck_loop_is_left_to_its_blocker_and_the_other_attempts_are_released(
    impatient: Bench,
) -> None:
    before = _handler_loops()
    innocent = impatient.begin("waits")
    assert impatient.module("waits").started.wait(20)
    impatient.module("waits").started.clear()
    blocker = impatient.begin("blocks-the-loop")
    assert impatient.module("waits").started.wait(20)
    never_begun = impatient.begin("echo", "1")

    wait_until(impatient.executor.replace_stuck_loop, "the loop was not left")

    assert innocent.outcome() == never_begun.outcome() == Released()
    assert impatient.run("echo", "1") == Succeeded("1", (), 5)
    assert not impatient.executor.replace_stuck_loop()
    impatient.module("waits").released.set()
    assert blocker.outcome() == Succeeded('"unblocked"', (), 5)
    wait_until(lambda: _handler_loops() == before, "the loop that was left has not ended")


def test_the_number_of_stuck_loops_is_limited(
    impatient: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.handlers.calls.async_calls._MOST_STUCK", 1)
    impatient.begin("blocks-the-loop")
    wait_until(impatient.executor.replace_stuck_loop, "the loop was not left")
    impatient.begin("blocks-the-loop")
    wait_until(lambda: impatient.executor.lag() > 0.5, "no lag was seen")

    assert not impatient.executor.replace_stuck_loop()

    impatient.module("waits").released.set()


def _handler_loops() -> int:
    return sum(thread.name == "rota-handlers" for thread in threading.enumerate())


def test_a_task_that_leaves_the_interpreter_does_not_end_the_loop(own: Bench) -> None:
    assert own.run("poisons-the-loop") == Succeeded('"SystemExit(1)"', (), 5)
    assert own.run("echo", "1") == Succeeded("1", (), 5)


def test_a_stop_releases_attempts_and_does_not_wait_for_them() -> None:
    bench = Bench(SAMPLES)
    bench.executor.start()
    samples = bench.module("waits")
    samples.released.clear()
    runnings = [bench.begin(name) for name in ("waits", "waits-sync", "hangs", "blocks-the-loop")]
    runnings[2].wait_for_line("hanging")

    bench.executor.stop()

    assert [running.outcome() for running in runnings] == [Released()] * 4
    assert bench.run("echo") == Released()
    assert bench.run("hangs") == Released()
    bench.cancel(runnings[0])
    samples.released.set()


def test_an_outcome_that_the_engine_refuses_stops_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("the engine is gone")

    for name in ("echo", "echo-sync"):
        bench.executor.begin([bench.call(name)], refuse)
        assert bench.run(name, "1") == Succeeded("1", (), 5)
    wait_until(lambda: len(caplog.records) == 2, "it was not logged")


def test_a_batch_of_all_kinds_is_executed(bench: Bench) -> None:
    calls = [bench.call(name, "1") for name in ("echo", "echo-sync", "write-only", "echo")]
    outcomes: dict[object, object] = {}

    bench.executor.begin(calls, lambda call, outcome: outcomes.update({call.run_id: outcome}))

    wait_until(lambda: len(outcomes) == 4, "not all ended")
    assert {call.run_id for call in calls} == set(outcomes)
