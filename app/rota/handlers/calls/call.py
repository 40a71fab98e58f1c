"""Calls: attempts to carry out, and the book of those under way."""

from asyncio import Task
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from logging import getLogger
from threading import Lock
from typing import Self

from rota.domain.http_target.target import Target
from rota.domain.kv.entries import KvSnapshot
from rota.domain.kv.run_writes import KvWork, OtherTable
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import CheckpointResult, Outcome
from rota.handlers.calls.capture import CURRENT
from rota.handlers.calls.event_loop import HandlerLoop
from rota.handlers.calls.journal import AttemptJournal
from rota.handlers.registry import Kind, RegisteredHandler
from rota.sdk.contexts import RunInfo
from rota.sdk.kv_sources import Source
from rota.sdk.stop import Stop

_log = getLogger(__name__)


@value_class(kw_only=True)
class Call:
    """One attempt to carry out."""

    run_id: Id
    attempt: int
    task: str
    failures: int
    trigger: str
    scheduled_for: datetime
    input: str  # JSON text
    target: Target | None
    handler: RegisteredHandler
    #: Its run was lost with a process before: whatever kind its handler is, it gets a process to itself.
    suspect: bool = False
    journal: AttemptJournal
    #: Reads that may block and may raise, called from any thread: of the task's own table, and of another task's.
    load_kv: Callable[[], KvSnapshot]
    open_kv: Callable[[str], OtherTable]
    #: Makes a check-point; as the reads. Raises LeaseLost.
    commit_kv: Callable[[KvWork], CheckpointResult]
    #: The revision at the claim; holds for writes of an attempt that read nothing.
    kv_revision: int

    @classmethod
    def of(
        cls,
        run: ClaimedRun,
        handler: RegisteredHandler,
        journal: AttemptJournal,
        tables: Source,
    ) -> Self:
        """Return the attempt that a claim has started; `tables` are those that it reads and writes."""
        return cls(
            run_id=run.id,
            attempt=run.attempt,
            task=run.task,
            failures=run.failures,
            trigger=run.trigger,
            scheduled_for=run.scheduled_for,
            input=run.input,
            target=run.definition.target,
            handler=handler,
            suspect=run.lost_count > 0,
            journal=journal,
            load_kv=tables.load_kv,
            open_kv=tables.open_kv,
            commit_kv=tables.commit_kv,
            kv_revision=run.kv_revision,
        )

    @property
    def kind(self) -> Kind:
        """How it is carried out."""
        return "process" if self.suspect and self.handler.importable else self.handler.kind

    def info(self) -> RunInfo:
        """Return what the handler can know of its run."""
        return RunInfo(
            run_id=self.run_id,
            task=self.task,
            attempt=self.attempt,
            failures=self.failures,
            trigger=self.trigger,
            scheduled_for=self.scheduled_for,
            input_json=self.input,
            target=self.target,
        )


Done = Callable[[Call, Outcome], None]


@dataclass(slots=True, eq=False)
class OpenCall:
    """A call under way."""

    call: Call
    done: Done
    #: Asked for when the attempt is to end; handlers see it as `ctx.cancelled` and `ctx.stop_reason`.
    stop: Stop = field(default_factory=Stop)
    #: The loop that carries it out, where there is one.
    loop: HandlerLoop | None = None
    #: The task that carries it out, where there is one, and whether it made its first step.
    task: Task[None] | None = None
    started: bool = False
    #: What calls its stop hooks, where that is a task.
    stopping: Task[None] | None = None
    closed: bool = False


class CallBook:
    """The calls under way. Each is closed exactly once, by whoever comes first."""

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

    def close(self, opened: OpenCall, outcome: Outcome) -> None:
        """Report the outcome, unless the call was closed before."""
        call = opened.call
        with self._lock:
            if opened.closed:
                return
            opened.closed = True
            self._open.pop((call.run_id, call.attempt), None)
        call.journal.flush()
        # What the engine logs from here on is not the handler's.
        CURRENT.set(None)
        try:
            opened.done(call, outcome)
        except Exception:  # noqa: BLE001  # the engine's fault must not stop the handlers' loop
            _log.exception("the outcome of run %s could not be reported", call.run_id)
