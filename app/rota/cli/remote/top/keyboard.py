"""The keyboard of a terminal, and the signals that ask a program to end or to suspend itself."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Keyboard:
    """Keys that are heard at once, and not shown, between `open` and `close`."""

    def __init__(self) -> None:
        #: None if nobody can press keys.
        self._input = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._before = None if self._input is None else termios.tcgetattr(self._input)

    def open(self) -> None:
        """Hear each key at once; Ctrl-C stays a signal."""
        if self._input is not None:
            tty.setcbreak(self._input)

    def close(self) -> None:
        """Set the terminal as it was before, without keys that nobody has heard."""
        if self._input is not None and self._before is not None:
            termios.tcsetattr(self._input, termios.TCSAFLUSH, self._before)

    def pressed(self, within: float) -> str:
        """Return the keys that are pressed within some seconds; nothing if none is."""
        inputs = [] if self._input is None else [self._input]
        ready, _, _ = select.select(inputs, [], [], within)
        return os.read(ready[0], 1_024).decode(errors="replace") if ready else ""


class Suspension:
    """Whether Ctrl-Z was pressed: a program that draws has to leave the terminal before it stops."""

    def __init__(self) -> None:
        self.is_requested = False

    def request(self, *_: object) -> None:
        """Note that it was pressed."""
        self.is_requested = True

    def suspend(self) -> None:
        """Stop here, until the shell continues the program."""
        self.is_requested = False
        os.kill(os.getpid(), signal.SIGSTOP)


@contextmanager
def handling_signals() -> Iterator[Suspension]:
    """Let SIGTERM and SIGHUP end what is within as an exit does, so that it can put the terminal in order.

    Yields whether Ctrl-Z was pressed.
    """
    suspension = Suspension()
    handlers: dict[int, Callable[[int, FrameType | None], None]] = {
        signal.SIGTERM: _exit,
        signal.SIGHUP: _exit,
        signal.SIGTSTP: suspension.request,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield suspension
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
