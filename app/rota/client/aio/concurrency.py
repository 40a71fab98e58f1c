"""Waiting and working side by side, with asyncio. `sync/concurrency.py` does the same with threads."""

import asyncio
import contextlib
import inspect
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

sleep = asyncio.sleep


class Flag:
    """Something that happens once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._event.is_set()

    def set(self) -> None:
        """Let it happen."""
        self._event.set()

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # as in the other half
        """Wait for it, for `timeout` seconds at most; return whether it has happened."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()
        return self.is_set


class Work:
    """Something that goes on beside the rest."""

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self._task = task

    def cancel(self) -> None:
        """Interrupt it where it awaits."""
        self._task.cancel()

    async def wait(self) -> None:
        """Wait for its end, however it ends."""
        await asyncio.wait([self._task])


# The loop itself keeps no tasks alive.
_TASKS: set["asyncio.Task[Any]"] = set()


def begin(function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Work:
    """Begin to execute a function beside the rest."""
    task = asyncio.get_running_loop().create_task(function(*arguments))
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
    return Work(task)


async def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns; one that is not `async` is called in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    result = await asyncio.to_thread(function, *arguments)
    return await result if inspect.isawaitable(result) else result


async def current(value: Any) -> Any:
    """Return a value, or what it is if it is awaited."""
    return await value if inspect.isawaitable(value) else value


@contextlib.contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGINT and SIGTERM, where this thread gets them."""
    loop = asyncio.get_running_loop()
    added = []
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, stop)
                added.append(number)
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)


Chunks = AsyncIterator[bytes]
