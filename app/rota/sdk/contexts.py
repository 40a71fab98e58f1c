"""Contexts: the data and the actions of a run, for its handler."""

import asyncio
import inspect
import math
from collections.abc import Awaitable, Mapping
from dataclasses import field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from rota.domain.http_target.target import Target
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.value_class import value_class
from rota.domain.secrets.opened import OpenedSecret
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.kv import Kv
from rota.sdk.log import Journal, Log
from rota.sdk.stop import HOOK_SECONDS, Hook, Stop, StopReason, fault_in
from rota.sdk.sync import SyncKv, SyncTasks
from rota.sdk.tasks import Tasks

H = TypeVar("H", bound=Hook)


@value_class(kw_only=True)
class RunInfo:
    """What a handler can know about its run."""

    run_id: Id
    task: str
    task_id: Id
    attempt: int
    failures: int
    trigger: str
    scheduled_for: datetime
    #: JSON text; parsed when the handler uses it.
    input_json: str
    target: Target | None = None
    #: The named secrets that the target refers to, in plain.
    secrets: tuple[OpenedSecret, ...] = ()
    #: For what the attempt calls: the trace of the run, and a span of the attempt.
    traceparent: str | None = None
    #: The first run of its chain; None: it is that itself.
    chain_id: Id | None = None
    #: By which the attempt can be completed from outside; empty if it cannot.
    token: str = field(default="", repr=False)
    #: Whether the input must not be shown.
    secret_input: bool = False
    #: When the task's `timeout` ends the attempt, on the monotonic clock.
    ends_at: float = math.inf


class _Base:
    """The members of both kinds of context."""

    def __init__(self, info: RunInfo, journal: Journal, stop: Stop, draft: AttemptDraft) -> None:
        #: The id of the run.
        self.run_id = info.run_id
        #: The name of the task.
        self.task = info.task
        #: The id of the task.
        self.task_id = info.task_id
        #: The number of this attempt; it rises at every start of the run.
        self.attempt = info.attempt
        #: The number of attempts that counted as failures so far.
        self.failures = info.failures
        #: What has made the run, such as `schedule` or `manual`.
        self.trigger = info.trigger
        #: The fire time that the run is for; a run that a client has made: when it was made.
        self.scheduled_for = info.scheduled_for
        #: The target of the task, of built-in handlers.
        self.target = info.target
        #: The named secrets that the target refers to, of built-in handlers.
        self.secrets = info.secrets
        #: The `traceparent` for what the handler calls; None if the trigger of the run had none.
        self.traceparent = info.traceparent
        #: The same for all runs that have followed from one: the id of that first run.
        self.chain_id = info.chain_id or info.run_id
        self._token = info.token
        #: Whether the input must not be shown, neither in errors nor in logs.
        self.secret_input = info.secret_input
        self._ends_at = info.ends_at
        #: Its lines are kept with the run.
        self.log = Log(journal)
        self._input_json = info.input_json
        self._journal = journal
        self._stop = stop
        self._draft = draft

    @cached_property
    def input(self) -> Any:
        """The run's input as plain JSON values, also for handlers that take it as a model."""
        return json_text.loads(self._input_json)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this run: pass it to services that should act once."""
        return self.run_id

    @property
    def attempt_token(self) -> str:
        """The token by which this attempt can be completed from outside; empty if it cannot."""
        return self._token

    def seconds_left(self, now: float) -> float:
        """Return how many seconds of the task's `timeout` are left at `now`, a time of the monotonic clock."""
        return self._ends_at - now

    def note_timings(self, timings: Mapping[str, float]) -> None:
        """Keep how long the phases of the call took, in seconds; of the built-in handler that makes one."""
        self._draft.timings = timings

    @property
    def cancelled(self) -> bool:
        """Whether the end of this attempt was requested (by a cancel, a timeout, a shutdown)."""
        return self._stop.requested

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the end of this attempt was requested; None while it was not."""
        return self._stop.reason

    def set_next_fire(self, at: datetime | None) -> None:
        """Set the time at which the task fires next, once, in place of its next fire time; commits with the success.

        A time that has passed by then fires at once. None removes the time that this attempt has set. Raises ValueError
        for a time without an offset.
        """
        if at is not None and at.utcoffset() is None:
            raise ValueError("set_next_fire takes a time with an offset, such as datetime.now(UTC)")
        self._draft.next_fire = None if at is None else _to_milliseconds(at)


class Context(_Base):
    """The context of an `async` handler."""

    #: A stop hook that was added after the stop; kept here so that it is not garbage-collected while it runs.
    _late: asyncio.Future[None] | None = None

    def __init__(
        self, info: RunInfo, journal: Journal, stop: Stop, draft: AttemptDraft, kv: Kv
    ) -> None:
        super().__init__(info, journal, stop, draft)
        #: The key-value table of the task.
        self.kv = kv

    @cached_property
    def tasks(self) -> Tasks:
        """Registers tasks with the run's success."""
        return Tasks(self._draft)

    async def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Report progress: a `fraction` from 0 to 1, and a message."""
        self._journal.progress(fraction, message)

    def on_stop(self, hook: H) -> H:
        """Have `hook(reason)` called once when the end of this attempt is requested; at once, if it was already.

        It may be a coroutine function. It runs on the handlers' loop before the handler gets a CancelledError, for at
        most a second.
        """
        if not self._stop.add(hook):
            assert self._stop.reason is not None
            called = hook(self._stop.reason)
            if inspect.isawaitable(called):
                self._late = asyncio.ensure_future(self._finish(called))
        return hook

    async def _finish(self, called: Awaitable[Any]) -> None:
        try:
            async with asyncio.timeout(HOOK_SECONDS):
                await called
        except Exception as error:  # noqa: BLE001  # it is not awaited
            self._journal.line("error", fault_in(error))


class SyncContext(_Base):
    """The context of a `def` handler."""

    def __init__(
        self, info: RunInfo, journal: Journal, stop: Stop, draft: AttemptDraft, kv: SyncKv
    ) -> None:
        super().__init__(info, journal, stop, draft)
        #: The key-value table of the task.
        self.kv = kv

    @cached_property
    def tasks(self) -> SyncTasks:
        """Registers tasks with the run's success."""
        return SyncTasks(self._draft)

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Report progress: a `fraction` from 0 to 1, and a message."""
        self._journal.progress(fraction, message)

    def on_stop(self, hook: H) -> H:
        """Have `hook(reason)` called once when the end of this attempt is requested; at once, if it was already.

        It is called in another thread while the handler continues. If a handler in a process of its own is to be
        killed, that happens at most a second later. Raises TypeError for a coroutine function.
        """
        if inspect.iscoroutinefunction(hook):
            raise TypeError("the stop hook of a `def` handler is a plain function")
        if not self._stop.add(hook):
            assert self._stop.reason is not None
            hook(self._stop.reason)
        return hook


def _to_milliseconds(at: datetime) -> datetime:
    """Return the instant in UTC, rounded up to a millisecond, so that it is never early."""
    return at.astimezone(UTC) + timedelta(microseconds=-at.microsecond % 1000)
