"""Waiting and working side by side, with threads. `aio/concurrency.py` does the same with asyncio."""

import _thread
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


def sleep(seconds: float) -> None:
    """Wait."""
    threading.Event().wait(seconds)


class Flag:
    """Something that happens once."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._event.is_set()

    def set(self) -> None:
        """Let it happen."""
        self._event.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it, for `timeout` seconds at most; return whether it has happened."""
        return self._event.wait(timeout)


class Work:
    """Something that goes on beside the rest."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def cancel(self) -> None:
        """Nothing: a thread cannot be interrupted."""

    def wait(self) -> None:
        """Wait for its end, however it ends."""
        self._thread.join()


def begin(function: Callable[..., Any], *arguments: Any) -> Work:
    """Begin to execute a function beside the rest."""
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return Work(thread)


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns."""
    return function(*arguments)


def current(value: Any) -> Any:
    """Return the value."""
    return value


@contextlib.contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGINT and SIGTERM, where this thread gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)

    def handle(*_: object) -> None:
        # `stop` takes locks, which the thread that was interrupted may have: so does a Thread when it starts.
        _thread.start_new_thread(stop, ())

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


Chunks = Iterator[bytes]
