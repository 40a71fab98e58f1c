"""Log lines about the ends of attempts."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest
import structlog
from structlog.testing import LogCapture

from rota.domain.policies import RetryPolicy
from rota.domain.primitives.throttling import MOST_LINES
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Cancelled, Conflicted, Failed, Outcome, Released
from rota.domain.runs.run_facts import RunFacts
from rota.domain.runs.settlement import settle
from rota.engine.attempts import end_log
from rota.engine.attempts.end_log import EndLog
from tests.support.factories import World, success


@dataclass
class Timers:
    """A loop with timers only."""

    due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def call_later(self, delay: float, call: Callable[[], None]) -> "Timers":
        self.due.append((delay, call))
        return self

    def cancel(self) -> None:
        self.due.clear()


class Bench:
    """An end log, the lines that it writes, and a fake clock."""

    def __init__(self, world: World, run: ClaimedRun) -> None:
        self.world = world
        self.run = run
        self.timers = Timers()
        self.log = EndLog(cast("asyncio.AbstractEventLoop", self.timers), world.clock)

    def end(self, outcome: Outcome, retry: RetryPolicy | None = None, **over: Any) -> None:
        run = self.run
        facts = RunFacts(
            id=run.id,
            failures=0,
            lost_count=0,
            conflict_count=0,
            first_started_at=run.first_started_at,
        )
        settled = settle(facts, outcome, retry or run.definition.retry, self.world.now)
        self.log.ended(replace(run, **over), settled, 0.25)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    captured = LogCapture()
    level = structlog.make_filtering_bound_logger(logging.INFO)
    logger = structlog.wrap_logger(None, processors=[captured], wrapper_class=level)
    monkeypatch.setattr(end_log, "log", logger)
    return cast("list[dict[str, Any]]", captured.entries)


@pytest.fixture
def bench(world: World) -> Bench:
    world.register(overlap_policy="allow", schedule={"type": "manual"})
    return Bench(world, world.start())


def test_a_success_is_logged(bench: Bench, lines: list[dict[str, Any]]) -> None:
    bench.end(success(bench.run))

    names = {"task": "t", "run": bench.run.id, "attempt": 1}
    assert lines == [
        {"event": "run.succeeded", "log_level": "info", "seconds": 0.25} | names,
    ]
    assert bench.timers.due == []


def test_many_successes_are_logged_as_a_count_by_handler(
    bench: Bench, lines: list[dict[str, Any]]
) -> None:
    for _ in range(MOST_LINES + 7):
        bench.end(success(bench.run))
    for _ in range(3):
        bench.end(success(bench.run), handler="other")

    [(delay, write)] = bench.timers.due
    assert delay == 1.0
    bench.world.clock.advance(timedelta(seconds=1))
    write()

    *single, counted = lines
    assert [line["event"] for line in single] == ["run.succeeded"] * MOST_LINES
    assert counted == {
        "event": "runs.succeeded",
        "log_level": "info",
        "count": 10,
        "handlers": {bench.run.handler: 7, "other": 3},
    }


def test_counted_successes_are_logged_before_a_stop(
    bench: Bench, lines: list[dict[str, Any]]
) -> None:
    bench.log.flush()
    for _ in range(MOST_LINES + 2):
        bench.end(success(bench.run))
    bench.log.flush()
    bench.log.flush()

    assert [line["count"] for line in lines if line["event"] == "runs.succeeded"] == [2]
    assert bench.timers.due == []


@pytest.mark.parametrize(
    ("outcome", "after"),
    [
        (Failed(RunError("ValueError", "broken")), timedelta(seconds=10)),
        (Conflicted("count"), None),
    ],
)
def test_a_failed_attempt_is_logged_with_the_time_of_the_next_one(
    bench: Bench, lines: list[dict[str, Any]], outcome: Outcome, after: timedelta | None
) -> None:
    ten_seconds = RetryPolicy(initial_interval=timedelta(seconds=10), jitter=False)
    bench.end(outcome, ten_seconds)

    (line,) = lines  # the message of the error, which may quote an input, is at debug
    assert (line["event"], line["log_level"]) == ("attempt.failed", "info")
    if after is not None:
        assert line["error"] == "ValueError"
        assert line["next_attempt_at"] == format_instant(bench.world.now + after)
    assert line["next_attempt_at"] >= format_instant(bench.world.now)


def test_the_last_failed_attempt_is_logged_without_a_next_one(
    bench: Bench, lines: list[dict[str, Any]]
) -> None:
    bench.end(Failed(RunError("ValueError", "broken")), RetryPolicy(max_attempts=1))

    (line,) = lines
    assert (line["event"], line["log_level"]) == ("attempt.failed", "warning")
    assert line["status"] == "failed"
    assert line["next_attempt_at"] is None


def test_a_cancelled_run_is_logged_and_a_released_one_is_not(
    bench: Bench, lines: list[dict[str, Any]]
) -> None:
    bench.end(Released())
    assert lines == []

    bench.end(Cancelled())
    assert [(line["event"], line["outcome"]) for line in lines] == [("attempt.ended", "cancelled")]
