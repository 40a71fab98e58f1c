"""The stop of an attempt: the request that it ends, with a reason and the hooks to call."""

import asyncio
import inspect
from collections.abc import Callable
from contextvars import Context as Variables
from contextvars import copy_context
from enum import StrEnum
from threading import Event, Lock
from typing import Any

#: How long, in seconds, an attempt's stop hooks may take; then the attempt is ended anyway.
HOOK_SECONDS = 1.0


class StopReason(StrEnum):
    """Why an attempt is requested to end."""

    CANCELLED = "cancelled"  # a client, `replace`, or its task was cancelled or deleted
    TIMEOUT = "timeout"  # it took longer than the task's `timeout`
    SHUTDOWN = "shutdown"  # the process stops; the run is released
    LEASE_LOST = "lease_lost"  # this process does not hold the run any more
    LOOP_BLOCKED = "loop_blocked"  # another handler blocks the event loop; the run is released


Hook = Callable[[StopReason], Any]
Hooks = list[tuple[Hook, Variables]]


class Stop:
    """The stop of one attempt: requested once, from any thread; its hooks are called once."""

    __slots__ = ("_called", "_hooks", "_lock", "reason")

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self._hooks: Hooks = []
        self._called: Event | None = None
        self._lock = Lock()

    @property
    def requested(self) -> bool:
        return self.reason is not None

    def request(self, reason: StopReason) -> None:
        """Request the end; the first reason counts."""
        with self._lock:
            if self.reason is None:
                self.reason = reason

    def add(self, hook: Hook) -> bool:
        """Have `hook` called when the end is requested; False if it was requested already."""
        with self._lock:
            if self.reason is not None:
                return False
            self.expect_hooks()
            # So that the journal of the attempt gets what the hook prints or logs, in whatever thread it is called.
            self._hooks.append((hook, copy_context()))
            return True

    def take_hooks(self) -> Hooks:
        """Return the hooks to call; the second call returns none."""
        with self._lock:
            hooks, self._hooks = self._hooks, []
            return hooks

    def expect_hooks(self) -> None:
        """Record that there are hooks, here or in a child process."""
        self._called = self._called or Event()

    @property
    def pending(self) -> bool:
        """Whether there are hooks whose calls have not ended."""
        return self._called is not None and not self._called.is_set()

    def hooks_called(self) -> None:
        """Record that the calls of all hooks have ended."""
        if self._called is not None:
            self._called.set()

    def wait_for_hooks(self, seconds: float) -> None:
        """Wait until the calls of all hooks have ended."""
        if self._called is not None:
            self._called.wait(seconds)


def call_hooks(stop: Stop, hooks: Hooks, report: Callable[[str], None]) -> None:
    """Call the hooks of a `def` handler; `report` receives a line for each one that raises."""
    for hook, variables in hooks:
        fault = variables.run(_call, hook, stop)
        if fault:
            report(fault)
    stop.hooks_called()


async def await_hooks(stop: Stop, hooks: Hooks, report: Callable[[str], None]) -> None:
    """Call the hooks of an `async` handler on its loop, for at most `HOOK_SECONDS`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + HOOK_SECONDS
    try:
        for hook, variables in hooks:
            task = loop.create_task(_await(hook, stop), context=variables)
            # Not awaited itself: its cancellation would cancel this task, and it may ignore its own.
            await asyncio.wait([task], timeout=max(until - loop.time(), 0))
            if not task.done():
                task.cancel()
                report(f"a stop hook took longer than {HOOK_SECONDS:g} s")
                return
            fault = task.result()
            if fault:
                report(fault)
    finally:
        stop.hooks_called()


def _call(hook: Hook, stop: Stop) -> str | None:
    assert stop.reason is not None
    try:
        hook(stop.reason)
    except BaseException as error:  # noqa: BLE001  # the error of a hook is reported, and ends nothing else
        return fault_in(error)
    return None


async def _await(hook: Hook, stop: Stop) -> str | None:
    assert stop.reason is not None
    try:
        called = hook(stop.reason)
        if inspect.isawaitable(called):
            await called
    except BaseException as error:  # noqa: BLE001  # see above
        return fault_in(error)
    return None


def fault_in(error: BaseException) -> str:
    """Return the log line for a hook that raised."""
    return f"a stop hook raised {type(error).__name__}: {error!s:.500}"
