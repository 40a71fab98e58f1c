"""The keyboard of a terminal, and the signals by which a terminal or a system asks a program to end or to rest."""

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


class Rest:
    """Whether Ctrl-Z was pressed: a program that draws has to leave the terminal before it stops."""

    def __init__(self) -> None:
        self.is_wanted = False

    def want(self, *_: object) -> None:
        """Note it."""
        self.is_wanted = True

    def take(self) -> None:
        """Stop here, until the shell continues the program."""
        self.is_wanted = False
        os.kill(os.getpid(), signal.SIGSTOP)


@contextmanager
def heeding_signals() -> Iterator[Rest]:
    """Let SIGTERM and SIGHUP end what is within as an exit does, so that it can put the terminal in order.

    Yields whether Ctrl-Z was pressed.
    """
    rest = Rest()
    handlers: dict[int, Callable[[int, FrameType | None], None]] = {
        signal.SIGTERM: _exit,
        signal.SIGHUP: _exit,
        signal.SIGTSTP: rest.want,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield rest
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
