"""The request that an attempt end: why, and who wants to hear of it."""

import asyncio
import inspect
from collections.abc import Callable
from contextvars import Context as Variables
from contextvars import copy_context
from enum import StrEnum
from threading import Event, Lock
from typing import Any

#: How long an attempt's stop hooks may take before the attempt is ended all the same, in seconds.
HOOK_SECONDS = 1.0


class StopReason(StrEnum):
    """Why an attempt is asked to end."""

    CANCELLED = "cancelled"  # a client, `replace`, or its task was cancelled or deleted
    TIMEOUT = "timeout"  # it took longer than the task's `timeout`
    SHUTDOWN = "shutdown"  # the process stops; the run is given back
    LEASE_LOST = "lease_lost"  # the run is not this process's any more
    LOOP_BLOCKED = "loop_blocked"  # another handler blocks the event loop; the run is given back


Hook = Callable[[StopReason], Any]
Hooks = list[tuple[Hook, Variables]]


class Stop:
    """The stop of one attempt: asked for once, from any thread; its hooks are called once."""

    __slots__ = ("_hooks", "_lock", "_ran", "reason")

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self._hooks: Hooks = []
        self._ran: Event | None = None
        self._lock = Lock()

    @property
    def asked(self) -> bool:
        return self.reason is not None

    def ask(self, reason: StopReason) -> None:
        """Ask for the end; the first reason counts."""
        with self._lock:
            if self.reason is None:
                self.reason = reason

    def add(self, hook: Hook) -> bool:
        """Have `hook` called when the end is asked for; False if it was asked for already."""
        with self._lock:
            if self.reason is not None:
                return False
            self.expect()
            # What the hook prints or logs is the attempt's, wherever it is called.
            self._hooks.append((hook, copy_context()))
            return True

    def take(self) -> Hooks:
        """Return the hooks to be called now that the end is asked for; a second time there are none."""
        with self._lock:
            hooks, self._hooks = self._hooks, []
            return hooks

    def expect(self) -> None:
        """Take note of hooks that are kept elsewhere (in a process)."""
        self._ran = self._ran or Event()

    @property
    def pending(self) -> bool:
        """Whether there are hooks that have not been called to their end."""
        return self._ran is not None and not self._ran.is_set()

    def ran(self) -> None:
        """Tell that the hooks have been called to their end."""
        if self._ran is not None:
            self._ran.set()

    def wait(self, seconds: float) -> None:
        """Wait for the hooks to be called to their end."""
        if self._ran is not None:
            self._ran.wait(seconds)


def call_hooks(stop: Stop, hooks: Hooks, tell: Callable[[str], None]) -> None:
    """Call the hooks of a `def` handler; `tell` gets a line on each that raises."""
    for hook, variables in hooks:
        fault = variables.run(_call, hook, stop)
        if fault:
            tell(fault)
    stop.ran()


async def await_hooks(stop: Stop, hooks: Hooks, tell: Callable[[str], None]) -> None:
    """Call the hooks of an `async` handler on its loop, for `HOOK_SECONDS` at the most."""
    loop = asyncio.get_running_loop()
    until = loop.time() + HOOK_SECONDS
    try:
        for hook, variables in hooks:
            task = loop.create_task(_await(hook, stop), context=variables)
            # Not awaited itself: its cancellation would be ours, and it may not heed one.
            await asyncio.wait([task], timeout=max(until - loop.time(), 0))
            if not task.done():
                task.cancel()
                tell(f"a stop hook took longer than {HOOK_SECONDS:g} s")
                return
            fault = task.result()
            if fault:
                tell(fault)
    finally:
        stop.ran()


def _call(hook: Hook, stop: Stop) -> str | None:
    assert stop.reason is not None
    try:
        hook(stop.reason)
    except BaseException as error:  # noqa: BLE001  # a hook's fault is told, and ends nothing
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
    """Return the line that tells of a hook that raised."""
    return f"a stop hook raised {type(error).__name__}: {error!s:.500}"
