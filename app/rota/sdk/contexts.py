"""Contexts: what a handler knows of its run, and what it can do with it."""

import asyncio
import inspect
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from rota.domain.http_target.target import Target
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.kv import Kv, SyncKv
from rota.sdk.log import Journal, Log
from rota.sdk.stop import HOOK_SECONDS, Hook, Stop, StopReason, fault_in
from rota.sdk.tasks import SyncTasks, Tasks

H = TypeVar("H", bound=Hook)


@value_class(kw_only=True)
class RunInfo:
    """What a handler can know of its run."""

    run_id: Id
    task: str
    attempt: int
    failures: int
    trigger: str
    scheduled_for: datetime
    #: JSON text; parsed only for the handlers that look at it.
    input_json: str
    target: Target | None = None


class _Base:
    """What both kinds of context have."""

    def __init__(self, info: RunInfo, journal: Journal, stop: Stop, draft: AttemptDraft) -> None:
        self.run_id = info.run_id
        self.task = info.task
        #: Rises at every start of this run.
        self.attempt = info.attempt
        #: How many attempts have counted as failures so far.
        self.failures = info.failures
        self.trigger = info.trigger
        self.scheduled_for = info.scheduled_for
        self.target = info.target
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
        """The same for every attempt of this run: give it to services that should act once."""
        return self.run_id

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for the end of this attempt (a cancel, a time-out, a shutdown)."""
        return self._stop.asked

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the end of this attempt was asked for; None while it was not."""
        return self._stop.reason

    def set_next_fire(self, at: datetime | None) -> None:
        """Have the task fire at `at` in place of its next fire time, once; commits with the run's success.

        A time that has passed by then fires at once. None takes back what this attempt has set. Raises ValueError for
        a time without an offset.
        """
        if at is not None and at.utcoffset() is None:
            raise ValueError("set_next_fire takes a time with an offset, such as datetime.now(UTC)")
        self._draft.next_fire = None if at is None else _to_milliseconds(at)


class Context(_Base):
    """The run that an `async` handler is carrying out."""

    #: A stop hook that came after the stop, held on to until it has ended.
    _late: asyncio.Future[None] | None = None

    def __init__(
        self, info: RunInfo, journal: Journal, stop: Stop, draft: AttemptDraft, kv: Kv
    ) -> None:
        super().__init__(info, journal, stop, draft)
        self.kv = kv

    @cached_property
    def tasks(self) -> Tasks:
        """Registers tasks with the run's success."""
        return Tasks(self._draft)

    async def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Say how far the run is: `fraction` from 0 to 1, and a word on it."""
        self._journal.progress(fraction, message)

    def on_stop(self, hook: H) -> H:
        """Have `hook(reason)` called once when the end of this attempt is asked for; at once, if it was already.

        It may be a coroutine function. It runs on the handlers' loop, before the handler gets its CancelledError, which
        comes after a second at the latest.
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
        except Exception as error:  # noqa: BLE001  # nobody awaits it
            self._journal.line("error", fault_in(error))


class SyncContext(_Base):
    """The run that a `def` handler is carrying out."""

    def __init__(
        self, info: RunInfo, journal: Journal, stop: Stop, draft: AttemptDraft, kv: SyncKv
    ) -> None:
        super().__init__(info, journal, stop, draft)
        self.kv = kv

    @cached_property
    def tasks(self) -> SyncTasks:
        """Registers tasks with the run's success."""
        return SyncTasks(self._draft)

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Say how far the run is: `fraction` from 0 to 1, and a word on it."""
        self._journal.progress(fraction, message)

    def on_stop(self, hook: H) -> H:
        """Have `hook(reason)` called once when the end of this attempt is asked for; at once, if it was already.

        It is called in another thread while the handler goes on. A handler in a process of its own is killed a second
        later at the latest, if it was to be killed. Raises TypeError for a coroutine function.
        """
        if inspect.iscoroutinefunction(hook):
            raise TypeError("the stop hook of a `def` handler is a plain function")
        if not self._stop.add(hook):
            assert self._stop.reason is not None
            hook(self._stop.reason)
        return hook


def _to_milliseconds(at: datetime) -> datetime:
    """Return the instant in UTC, rounded up to a millisecond: never early."""
    return at.astimezone(UTC) + timedelta(microseconds=-at.microsecond % 1000)
