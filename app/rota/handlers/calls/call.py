"""Calls: attempts to execute, and the set of those in progress."""

import math
from asyncio import Task
from collections.abc import Callable
from dataclasses import dataclass, field
from logging import getLogger
from threading import Lock

from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import CallEnd
from rota.domain.trace_context import traceparent_of_attempt
from rota.handlers.calls.capture import CURRENT
from rota.handlers.calls.event_loop import HandlerLoop
from rota.handlers.calls.journal import AttemptJournal
from rota.handlers.registry import Kind, RegisteredHandler
from rota.sdk.contexts import RunInfo
from rota.sdk.kv_sources import Source
from rota.sdk.stop import Stop

_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of an attempt, in bytes: of its result, of each kv value, and of the kv of a task."""

    result_bytes: int
    value_bytes: int
    kv_bytes: int


@value_class()
class Call:
    """An attempt to execute."""

    run: ClaimedRun
    handler: RegisteredHandler
    journal: AttemptJournal
    #: Safe to call from any thread.
    kv: Source
    #: When its timeout ends it, on the monotonic clock.
    ends_at: float = math.inf

    @property
    def run_id(self) -> Id:
        return self.run.id

    @property
    def attempt(self) -> int:
        return self.run.attempt

    @property
    def suspect(self) -> bool:
        """Whether the run was lost with a process before: then it gets a process of its own."""
        return self.run.lost_count > 0

    @property
    def kind(self) -> Kind:
        """How the call is executed."""
        return "process" if self.suspect and self.handler.importable else self.handler.kind

    def info(self) -> RunInfo:
        """Return what the handler can know of its run."""
        run = self.run
        return RunInfo(
            run_id=run.id,
            task=run.task,
            task_id=run.task_id,
            attempt=run.attempt,
            failures=run.failures,
            trigger=run.trigger,
            scheduled_for=run.scheduled_for,
            input_json=run.input,
            target=run.definition.target,
            secrets=run.secrets,
            traceparent=traceparent_of_attempt(run.traceparent, run.id, run.attempt),
            chain_id=run.chain_id,
            token=run.token,
            secret_input=run.secret_input or run.definition.secret_input,
            ends_at=self.ends_at,
        )


Done = Callable[[Call, CallEnd], None]


@dataclass(slots=True, eq=False)
class OpenCall:
    """A call in progress."""

    call: Call
    done: Done
    #: Handlers see it as `ctx.cancelled` and `ctx.stop_reason`.
    stop: Stop = field(default_factory=Stop)
    #: The loop that executes it, if there is one.
    loop: HandlerLoop | None = None
    #: The asyncio task that executes it, if there is one, and whether that made its first step.
    task: Task[None] | None = None
    started: bool = False
    #: The asyncio task that calls its stop hooks, if there is one.
    stopping: Task[None] | None = None
    closed: bool = False


class OpenCalls:
    """The calls in progress. Each is closed exactly once, by the first thread that closes it."""

    def __init__(self) -> None:
        self._open: dict[tuple[Id, int], OpenCall] = {}
        self._lock = Lock()

    def open(self, call: Call, done: Done) -> OpenCall:
        opened = OpenCall(call, done)
        self._open[call.run_id, call.attempt] = opened
        return opened

    def find(self, run_id: Id, attempt: int) -> OpenCall | None:
        return self._open.get((run_id, attempt))

    def all(self) -> list[OpenCall]:
        """Return the calls that have not ended."""
        return list(self._open.values())

    def close(self, opened: OpenCall, outcome: CallEnd) -> None:
        """Report the outcome, unless the call is closed already."""
        call = opened.call
        with self._lock:
            if opened.closed:
                return
            opened.closed = True
            self._open.pop((call.run_id, call.attempt), None)
        call.journal.flush()
        # From here on the engine logs, not the handler.
        CURRENT.set(None)
        try:
            opened.done(call, outcome)
        except Exception:  # noqa: BLE001  # a fault of the engine must not stop the handlers' loop
            _log.exception("the outcome of run %s could not be reported", call.run_id)
