"""The runner: the first outcome of an attempt counts, and it is not given up while this process may hold the run."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
import structlog
from structlog.testing import LogCapture

from rota import Context, StopReason, handler
from rota.db.batching import OnDone
from rota.db.command import Command
from rota.db.writer import Writer
from rota.domain.effects import OutsideAttemptEnded
from rota.domain.http_target.target import Target
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Cancelled, Failed, Outcome, RetryRequested, Succeeded
from rota.domain.runs.status import RunStatus
from rota.engine.attempts import completer, end_log, outcome_inbox, runner
from rota.engine.attempts.runner import Runner
from rota.engine.leases import Lease
from rota.engine.resources import Resources
from rota.errors import Unavailable
from rota.handlers.calls.call import Call
from rota.handlers.executor import Executor
from rota.handlers.registry import Registry
from rota.metrics import Metrics
from rota.settings import Settings
from rota.store.completion.complete import Complete
from rota.store.completion.finish import Reap
from rota.store.runs.claiming.claim import ReleaseDelayed
from rota.store.runs.logs import list_lines
from rota.store.tasks.run_commands import CancelRun
from tests.egress.guards import loopback_guard
from tests.engine.service import registered
from tests.support.factories import World, success


@handler("noop")
async def noop(ctx: Context) -> None:
    """Do nothing; these tests do not call it."""


class Puppet:
    """An executor that does nothing by itself."""

    def __init__(self) -> None:
        self.calls: dict[Id, Call] = {}
        self.cancels: list[tuple[Id, int, bool]] = []
        self._done: Callable[[Call, Outcome], None] | None = None

    def begin(self, calls: Sequence[Call], done: Callable[[Call, Outcome], None]) -> None:
        self.calls |= {call.run_id: call for call in calls}
        self._done = done

    def cancel(self, run_id: Id, attempt: int, *, force: bool, reason: StopReason) -> None:
        self.cancels.append((run_id, attempt, force))

    def report(self, call: Call, outcome: Outcome) -> None:
        assert self._done is not None
        self._done(call, outcome)


class Unsteady:
    """A writer that is unavailable for a while."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.refuse: list[Exception] = []
        self.lose: list[Exception] = []
        self.miss: list[Exception] = []
        self.let = asyncio.Event()
        self.let.set()

    def post(self, command: Command[Any], on_done: OnDone) -> None:
        if self.refuse:
            raise self.refuse.pop()
        if not self.lose:
            self._writer.post(command, on_done)
            return
        error = self.lose.pop()
        self._writer.post(command, lambda _result, _error: on_done(None, error))

    def call(self, command: Command[Any]) -> Any:
        return self._writer.call(command)

    async def run(self, command: Command[Any]) -> Any:
        await self.let.wait()
        if self.miss:
            raise self.miss.pop()
        return await self._writer.run(command)


class Bench:
    """A runner between a fake executor and a database."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.holder = world.holder
        self.executor = Puppet()
        self.writer = Unsteady(world.writer)
        self.released: list[tuple[str, str]] = []
        self.ended: list[str] = []
        self.metrics = Metrics()
        self.runner = Runner(
            Resources(
                settings=Settings(max_log_bytes=1_000),
                database=world.database,
                writer=cast("Writer", self.writer),
                clock=world.clock,
                metrics=self.metrics,
                registry=Registry((registered(noop),)),
                executor=cast("Executor", self.executor),
                guard=loopback_guard(),
            ),
            cast("Lease", self),
            free_slot=lambda run: self.released.append((run.handler, run.queue)),
            ended=self.ended.append,
        )

    def begin(self, run: ClaimedRun) -> Call:
        self.runner.begin([run])
        return self.executor.calls[run.id]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110  # what changes is in the database
                await asyncio.sleep(0.005)

    def status(self, run: ClaimedRun) -> RunStatus:
        return self.world.run(run.id).status


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completer, "_RETRY_AFTER", 0.01)
    monkeypatch.setattr(runner, "CANCEL_GRACE", 0.05)


@pytest.fixture
def claimed(world: World) -> ClaimedRun:
    world.register(overlap_policy="allow", schedule={"type": "manual"})
    return world.start()


def _play(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_the_first_outcome_counts_and_later_ones_are_ignored(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        call = bench.begin(claimed)
        call.journal.line("info", "hello")
        bench.executor.report(call, success(claimed, '"first"'))
        bench.executor.report(call, Failed(RunError("x", "second")))
        await bench.until(lambda: bench.status(claimed).final)
        await bench.until(lambda: not bench.runner._attempts)
        bench.executor.report(call, Failed(RunError("x", "third")))

        assert bench.released == [("noop", "default")]
        assert (
            bench.metrics.registry.get_sample_value("rota_attempts_total", {"outcome": "succeeded"})
            == 1
        )

    _play(play())

    assert world.run(claimed.id).result == '"first"'
    assert [line.message for _, line in world.read(list_lines, claimed.id, (0, 0), 9)] == ["hello"]


def test_the_duration_of_an_attempt_is_measured_by_the_monotonic_clock(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        call = bench.begin(claimed)
        world.clock.advance(timedelta(seconds=2))
        world.clock.set(world.now - timedelta(hours=1))
        bench.executor.report(call, success(claimed))
        await bench.until(lambda: not bench.runner._attempts)

        sample = bench.metrics.registry.get_sample_value
        assert sample("rota_attempt_duration_seconds_sum") == 2

    _play(play())

    assert world.run(claimed.id).duration == timedelta(0)


@pytest.mark.parametrize("kind", ["refuse", "lose"])
def test_an_outcome_is_kept_until_the_database_is_available(
    world: World, claimed: ClaimedRun, kind: str
) -> None:
    async def play() -> None:
        bench = Bench(world)
        getattr(bench.writer, kind).extend([Unavailable("gone"), Unavailable("gone")])
        bench.executor.report(bench.begin(claimed), success(claimed, "1"))
        await bench.until(lambda: not bench.runner._attempts)

        assert len(bench.released) == 1

    _play(play())

    assert world.run(claimed.id).result == "1"
    assert world.task().kv_revision == 1


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (Succeeded("1"), {"event": "run.succeeded", "log_level": "info", "seconds": 0.0}),
        (
            Failed(RunError("fail", "no")),
            {"event": "attempt.failed", "log_level": "info", "outcome": "failed", "error": "fail"},
        ),
    ],
)
def test_the_end_of_an_attempt_outside_is_logged_and_counted_as_any_other(
    world: World,
    claimed: ClaimedRun,
    monkeypatch: pytest.MonkeyPatch,
    outcome: Outcome,
    line: dict[str, Any],
) -> None:
    captured = LogCapture()
    level = structlog.make_filtering_bound_logger(logging.INFO)
    logger = structlog.wrap_logger(None, processors=[captured], wrapper_class=level)
    monkeypatch.setattr(end_log, "log", logger)
    world.do(Complete(run=claimed, holder=None, outcome=outcome))
    (ended,) = [each for each in world.effects if isinstance(each, OutsideAttemptEnded)]

    async def play() -> None:
        bench = Bench(world)
        bench.runner.ended_outside(ended)

        outcomes = {"outcome": line.get("outcome", "succeeded")}
        assert bench.metrics.registry.get_sample_value("rota_attempts_total", outcomes) == 1

    _play(play())

    written = captured.entries[0]
    names = {"task": "t", "run": claimed.id, "attempt": 1}
    assert dict(written) | line | names == dict(written)


def test_an_attempt_whose_end_cannot_be_written_frees_its_slot(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        bench.writer.lose.append(RuntimeError("a bug"))
        bench.executor.report(bench.begin(claimed), success(claimed))
        await bench.until(lambda: bench.ended == ["default"])

        assert bench.released == [("noop", "default")]

    _play(play())


def test_a_slot_is_freed_when_its_handler_ends_and_the_end_is_notified_when_it_is_committed(
    world: World, claimed: ClaimedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        bench = Bench(world)
        posted: list[tuple[Command[Any], OnDone]] = []
        with monkeypatch.context() as held:
            held.setattr(bench.writer, "post", lambda *given: posted.append(given))
            bench.executor.report(bench.begin(claimed), success(claimed))
            await bench.until(lambda: bench.released == [("noop", "default")])

        assert len(posted) == 1, "the slot was freed before the end was posted"
        assert bench.ended == []
        bench.writer.post(*posted[0])
        await bench.until(lambda: bench.ended == ["default"])
        assert len(bench.released) == 1

    _play(play())

    assert world.run(claimed.id).status is RunStatus.SUCCEEDED


def test_attempts_that_end_together_do_not_wait_for_earlier_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_inbox, "_GATHER", 1_000)
    world.register(overlap_policy="allow", schedule={"type": "manual"})
    goes_on = [world.start() for _ in range(20)]
    together = [world.start() for _ in range(3)]

    async def play() -> None:
        bench = Bench(world)
        bench.runner.begin(goes_on)
        bench.runner.begin(together)
        for run in together:
            bench.executor.report(bench.executor.calls[run.id], success(run))
        await bench.until(lambda: all(bench.status(run).final for run in together))

    _play(play())


def test_an_attempt_that_ends_is_not_delayed_by_one_that_continues(world: World) -> None:
    world.register(overlap_policy="allow", schedule={"type": "manual"})
    goes_on, *together = [world.start() for _ in range(20)]

    async def play() -> None:
        bench = Bench(world)
        bench.runner.begin([goes_on, *together])
        for run in together:
            bench.executor.report(bench.executor.calls[run.id], success(run))
        await bench.until(lambda: all(bench.status(run).final for run in together))

        assert bench.status(goes_on) is RunStatus.RUNNING

    _play(play())


def test_a_run_in_progress_is_not_released(world: World, claimed: ClaimedRun) -> None:
    other = world.start()

    async def play() -> None:
        bench = Bench(world)
        bench.begin(claimed)

        assert bench.runner.release(claimed) is False
        assert bench.runner.release(other) is True
        await bench.until(lambda: bench.ended == ["default"])

        assert bench.released == [("noop", "default")]

    _play(play())

    assert world.run(claimed.id).status is RunStatus.RUNNING
    assert [each.outcome for each in world.attempts(other.id)] == ["released"]


def _completed_early(world: World, run: ClaimedRun) -> ClaimedRun:
    """Let the target of a run complete it before its response, so that it is tried again; return that attempt."""
    again = RetryRequested(timedelta(0), RunError("retry", "later"))
    world.do(Complete(run=run, holder=None, outcome=again))
    world.clock.advance(timedelta(hours=1))
    world.do(ReleaseDelayed(10))
    return world.claim()[0]


def test_an_attempt_that_its_target_completed_early_gives_way_to_the_next_one(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        old = bench.begin(claimed)
        second = _completed_early(world, claimed)
        bench.begin(second)
        assert bench.released == [("noop", "default")]
        assert bench.executor.cancels == [(claimed.id, 1, True)]
        bench.executor.report(old, success(claimed, '"old"'))
        bench.executor.report(bench.executor.calls[second.id], success(second, '"new"'))
        await bench.runner.drain(grace=5)

        assert bench.released == [("noop", "default")] * 2
        assert bench.runner._attempts == {}

    _play(play())

    assert world.run(claimed.id).result == '"new"'


def test_a_held_run_is_released_beside_an_earlier_attempt_of_it(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        bench.begin(claimed)
        second = _completed_early(world, claimed)

        assert bench.runner.release(second) is True
        await bench.runner.drain(grace=5)

        assert bench.released == [("noop", "default")] * 2

    _play(play())

    outcomes = [each.outcome for each in world.attempts(claimed.id)]
    assert outcomes == ["retry", "released"]


def test_a_drain_waits_for_runs_that_are_being_released(world: World, claimed: ClaimedRun) -> None:
    async def play() -> None:
        bench = Bench(world)
        bench.runner.release(claimed)
        await bench.runner.drain(grace=5)

        assert bench.status(claimed) is RunStatus.QUEUED

    _play(play())


def test_a_drain_releases_runs_that_do_not_end_in_time(world: World, claimed: ClaimedRun) -> None:
    async def play() -> None:
        bench = Bench(world)
        call = bench.begin(claimed)
        await bench.runner.drain(grace=0.02)
        bench.executor.report(call, success(claimed))

        assert bench.executor.cancels == [(claimed.id, 1, True)]
        assert bench.released == [("noop", "default")]

    _play(play())

    assert world.run(claimed.id).status is RunStatus.QUEUED
    assert [each.outcome for each in world.attempts(claimed.id)] == ["released"]


def test_an_abandoned_attempt_writes_nothing(world: World, claimed: ClaimedRun) -> None:
    async def play() -> None:
        bench = Bench(world)
        call = bench.begin(claimed)
        bench.runner.abandon()
        bench.executor.report(call, success(claimed))
        await bench.runner.drain(grace=5)

        assert bench.executor.cancels == [(claimed.id, 1, True)]
        assert bench.released == [("noop", "default")]

    _play(play())

    assert world.run(claimed.id).status is RunStatus.RUNNING


def test_ends_of_abandoned_attempts_without_a_database_are_one_log_line_without_a_traceback(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register(overlap_policy="allow", schedule={"type": "manual"})
    runs = [world.start() for _ in range(10)]
    captured = LogCapture()
    monkeypatch.setattr(completer, "log", structlog.wrap_logger(None, processors=[captured]))

    async def play() -> None:
        bench = Bench(world)
        posted: list[tuple[Command[Any], OnDone]] = []
        monkeypatch.setattr(bench.writer, "post", lambda *given: posted.append(given))
        for run in runs:
            bench.executor.report(bench.begin(run), success(run))
        await bench.until(lambda: len(posted) == len(runs))
        bench.runner.abandon()
        for _, settle in posted:
            settle(None, Unavailable("The database does not answer."))
        world.clock.advance(timedelta(minutes=1))
        posted[0][1](None, Unavailable("The database does not answer."))

    _play(play())

    lines = [line for line in captured.entries if line["event"] == "attempt.not_finished"]
    assert [(line["attempts"], line["log_level"]) for line in lines] == [
        (1, "warning"),
        (10, "warning"),
    ]
    assert all("exc_info" not in line for line in lines)


def test_the_outcome_of_an_abandoned_attempt_is_not_that_of_the_next_one(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        old = bench.begin(claimed)
        bench.runner.abandon()
        world.end_lease(world.holder)
        world.do(Reap())
        world.holder = bench.holder = world.enlist()
        (again,) = world.claim()
        bench.begin(again)
        bench.executor.report(old, success(claimed, '"old"'))
        bench.executor.report(bench.executor.calls[again.id], success(again, '"new"'))
        await bench.until(lambda: bench.status(again).final)
        await bench.until(lambda: not bench.runner._attempts)

    _play(play())

    assert world.run(claimed.id).result == '"new"'


def test_a_cancelled_attempt_is_ended_by_force_after_the_grace_period(
    world: World, claimed: ClaimedRun
) -> None:
    world.do(CancelRun(claimed.id))

    async def play() -> None:
        bench = Bench(world)
        bench.begin(claimed)
        bench.runner.cancel(claimed.id)
        assert bench.executor.cancels == [(claimed.id, 1, False)]
        await bench.until(lambda: bench.status(claimed).final)

        assert bench.executor.cancels[-1] == (claimed.id, 1, True)
        bench.runner.cancel(claimed.id)  # nothing to cancel is left

    _play(play())

    assert world.run(claimed.id).status is RunStatus.CANCELLED


def test_a_cancelled_attempt_that_ends_in_time_is_not_ended_by_force(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        call = bench.begin(claimed)
        bench.runner.cancel(claimed.id)
        timers = bench.runner._attempts[claimed.id].timers
        bench.executor.report(call, Cancelled())
        await bench.until(lambda: bench.status(claimed).final)

        assert len(timers) == 2
        assert all(timer.cancelled() for timer in timers)
        assert bench.executor.cancels == [(claimed.id, 1, False)]

    _play(play())


def test_an_attempt_that_reports_after_it_lost_its_run_is_ended(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        call = bench.begin(claimed)
        call.journal.line("info", "before")
        await bench.runner.flush()
        world.delete()
        await bench.runner.flush()
        assert bench.executor.cancels == []
        call.journal.line("info", "after")
        await bench.runner.flush()

        assert bench.executor.cancels == [(claimed.id, 1, True)]

    _play(play())


def test_log_lines_that_could_not_be_stored_are_stored_with_the_end(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        call = bench.begin(claimed)
        call.journal.line("info", "first")
        bench.writer.miss.append(Unavailable("no database"))
        with pytest.raises(Unavailable):
            await bench.runner.flush()
        call.journal.line("info", "second")
        bench.executor.report(call, success(claimed, "1"))
        await bench.until(lambda: world.run(claimed.id).status is RunStatus.SUCCEEDED)

        assert _logged(world, claimed) == ["first", "second"]

    _play(play())


def test_an_end_waits_for_the_note_that_is_being_committed(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        call = bench.begin(claimed)
        call.journal.line("info", "first")
        bench.writer.let.clear()
        flushing = asyncio.create_task(bench.runner.flush())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.executor.report(call, success(claimed, "1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        world.set("behind", 1)  # a later write of the one writer has been committed
        assert world.run(claimed.id).status is RunStatus.RUNNING
        bench.writer.let.set()
        await flushing
        await bench.until(lambda: world.run(claimed.id).status is RunStatus.SUCCEEDED)

        assert _logged(world, claimed) == ["first"]

    _play(play())


def _logged(world: World, of: ClaimedRun) -> list[str]:
    return [line.message for _, line in world.read(list_lines, of.id, (0, 0), 99)]


def test_a_kv_snapshot_is_of_the_task_of_the_run(world: World, claimed: ClaimedRun) -> None:
    world.set("a", 5.0)

    async def play() -> None:
        call = Bench(world).begin(claimed)

        snapshot = call.kv.load_kv()
        assert (dict(snapshot.entries), snapshot.revision) == ({"a": b"5.0"}, 1)
        assert call.run.kv_revision == 0

    _play(play())


def of_http(run: ClaimedRun, timeout: float) -> ClaimedRun:
    fields = {"target": Target(url="http://127.0.0.1:1/"), "timeout": timedelta(seconds=timeout)}
    return replace(run, definition=run.definition.model_copy(update=fields))


def test_a_call_of_http_may_end_itself_when_its_timeout_has_passed(
    world: World, claimed: ClaimedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_OWN_END", 60)

    async def play() -> None:
        bench, loop = Bench(world), asyncio.get_running_loop()
        call = bench.begin(of_http(claimed, timeout=0.01))
        assert call.ends_at == world.clock.monotonic() + 0.01
        over = loop.time() + 0.05
        await bench.until(lambda: loop.time() > over)
        bench.executor.report(call, Failed(RunError("http.timeout", "no response")))
        await bench.until(lambda: not bench.runner._attempts)

        assert bench.executor.cancels == []

    _play(play())

    assert [each.outcome for each in world.attempts(claimed.id)] == ["failed"]


def test_a_call_of_http_that_does_not_end_itself_is_ended_within_a_second_of_its_timeout(
    world: World, claimed: ClaimedRun
) -> None:
    async def play() -> None:
        bench = Bench(world)
        bench.begin(of_http(claimed, timeout=0.01))
        await bench.until(lambda: bool(bench.executor.cancels))

        assert runner._OWN_END < 1  # not measured: the machine may be busy
        await bench.until(lambda: not bench.runner._attempts)

    _play(play())

    assert [each.outcome for each in world.attempts(claimed.id)] == ["timed_out"]
