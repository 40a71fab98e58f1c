"""Shared by the tests of handlers: an executor with the handlers of one file, and its calls."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from time import monotonic
from types import ModuleType
from typing import Any

from rota import StopReason
from rota.clock import SystemClock
from rota.domain.http_target.target import Target
from rota.domain.kv.entries import KvSnapshot
from rota.domain.kv.run_writes import Committed, KvWrites, OtherTable
from rota.domain.primitives.ids import Id, random_id
from rota.domain.runs.model import ClaimedRun, LogLine
from rota.domain.runs.outcomes import CallEnd, CheckpointResult, HandedOff, Outcome
from rota.domain.schedules.definitions import Manual
from rota.domain.secrets.opened import OpenedSecret
from rota.domain.tasks.definition import TaskDefinition
from rota.handlers.calls.call import Call
from rota.handlers.calls.journal import AttemptJournal
from rota.handlers.discovery import BUILT_IN_HANDLERS, discover
from rota.handlers.executor import Executor
from rota.handlers.ping import PING
from tests.egress.guards import loopback_guard
from tests.support.factories import numbered

DEADLINE = 20.0
BUILT_IN_NAMES = sorted(each.name for each in (*BUILT_IN_HANDLERS, PING))
CLOCK = SystemClock()
SNAPSHOT = KvSnapshot({"count": b"41", "name": b'"Ada"'}, 7, versions={"count": 7, "name": 3})
MANUAL = Manual(type="manual")
#: The table of another task; it grants that it be written to.
OTHER = OtherTable(
    numbered(7), KvSnapshot({"stock": b"10"}, 4, versions={"stock": 4}), granted=True
)


@dataclass(frozen=True)
class Tables:
    """The kv that a call reads and writes."""

    load_kv: Callable[[], KvSnapshot]
    open_kv: Callable[[str], OtherTable]
    commit_kv: Callable[[KvWrites], CheckpointResult]


class Running:
    """A call that was begun, and its outcome."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.outcomes: list[CallEnd] = []
        self._ended = Event()

    def done(self, call: Call, outcome: CallEnd) -> None:
        assert call is self.call
        self.outcomes.append(outcome)
        self._ended.set()

    def end(self) -> CallEnd:
        """Return how the call has ended: with an outcome, or without one yet."""
        assert self._ended.wait(DEADLINE), "the call did not end"
        assert len(self.outcomes) == 1
        return self.outcomes[0]

    def outcome(self) -> Outcome:
        end = self.end()
        assert not isinstance(end, HandedOff)
        return end

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def lines(self) -> list[LogLine]:
        return self.call.journal.take()[0]

    def wait_for_line(self, text: str) -> str:
        """Wait for a line that starts with `text`, and return it."""
        seen: list[str] = []

        def logged() -> bool:
            seen.extend(line.message for line in self.lines())
            return any(line.startswith(text) for line in seen)

        wait_until(logged, f"no line {text!r} among {seen}")
        return next(line for line in seen if line.startswith(text))


class Bench:
    """An executor that runs the handlers of one file."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.registry = discover([str(path)])
        self.loads: SimpleQueue[Id] = SimpleQueue()
        limits: dict[str, Any] = {
            "guard": loopback_guard(),
            "max_result_bytes": 10_000,
            "max_value_bytes": 1_000,
            "max_kv_bytes": 100_000,
            "http_max_body_bytes": 4_096,
            "process_concurrency": 4,
        }
        self.executor = Executor(clock=CLOCK, handler_entries=[str(path)], **limits | settings)

    def module(self, name: str) -> ModuleType:
        """Return the module in which a handler of this process lives."""
        return sys.modules[self.registry[name].function.__module__]

    def call(
        self,
        name: str,
        input: str = "{}",
        *,
        target: Target | None = None,
        load_kv: Callable[[], KvSnapshot] = lambda: SNAPSHOT,
        open_kv: Callable[[str], OtherTable] = lambda _: OTHER,
        commit_kv: Callable[[KvWrites], CheckpointResult] = lambda _: Committed(9),
        log_bytes: int = 65_536,
        suspect: bool = False,
        run_id: Id | None = None,
        secrets: tuple[OpenedSecret, ...] = (),
        traceparent: str | None = None,
        token: str = "",
        secret_input: bool = False,
        ends_at: float = math.inf,
    ) -> Call:
        now = CLOCK.now()
        run = ClaimedRun(
            id=run_id or random_id(),
            task_id=numbered(1),
            task="some-task",
            handler=name,
            queue="default",
            attempt=2,
            failures=1,
            lost_count=int(suspect),
            conflict_count=0,
            trigger="schedule",
            scheduled_for=now,
            first_started_at=now,
            started_at=now,
            input=input,
            concurrency_key=None,
            constrained=False,
            traceparent=traceparent,
            chain_id=None,
            definition=TaskDefinition.model_construct(
                handler=name, schedule=MANUAL, target=target, secret_input=secret_input
            ),
            kv_revision=5,
            secrets=secrets,
            token=token,
        )
        journal = AttemptJournal(log_bytes, CLOCK)
        tables = Tables(load_kv, open_kv, commit_kv)
        return Call(run, self.registry.lookup(name), journal, tables, ends_at)

    def begin(self, name: str, input: str = "{}", **over: Any) -> Running:
        running = Running(self.call(name, input, **over))
        self.executor.begin([running.call], running.done)
        return running

    def run(self, name: str, input: str = "{}", **over: Any) -> Outcome:
        return self.begin(name, input, **over).outcome()

    def cancel(
        self,
        running: Running,
        *,
        force: bool = False,
        reason: StopReason = StopReason.CANCELLED,
    ) -> None:
        call = running.call
        self.executor.cancel(call.run_id, call.attempt, force=force, reason=reason)


@contextmanager
def started(path: Path, **settings: Any) -> Iterator[Bench]:
    bench = Bench(path, **settings)
    bench.executor.start()
    try:
        yield bench
    finally:
        bench.executor.stop()


def wait_until(holds: Callable[[], object], otherwise: str) -> None:
    """Wait until `holds`, in small steps; fail after the deadline."""
    pause = Event()
    deadline = monotonic() + DEADLINE
    while not holds():
        assert monotonic() < deadline, otherwise
        pause.wait(0.01)
