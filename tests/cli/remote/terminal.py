"""A `rota` of its own process on a real pseudo-terminal."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.acceptance.launching import ROTA

PATIENCE = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """What a command shows on a terminal, and the keys that are pressed there."""

    def __init__(
        self, arguments: Sequence[str], environment: dict[str, str], columns: int, lines: int
    ) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, lines)
        self.modes_before = self.modes
        self._process = subprocess.Popen(
            [ROTA, *arguments],
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # Ctrl-C must reach it; the function makes a system call, and takes no lock.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        os.close(slave)
        self.shown = ""

    @property
    def text(self) -> str:
        """What is shown, without colours."""
        return _ESCAPES.sub("", self.shown).replace("\r\n", "\n")

    @property
    def modes(self) -> list[object]:
        """How the terminal treats keys: whether they are shown, and heard at once."""
        return list(termios.tcgetattr(self._master))

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def signal(self, number: int) -> None:
        """Send the command a signal."""
        self._process.send_signal(number)

    @property
    def is_stopped(self) -> bool:
        """Whether a signal has stopped the command, so that it can be continued."""
        options = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        found = os.waitid(os.P_PID, self._process.pid, options)
        return found is not None and found.si_code == os.CLD_STOPPED

    def until(self, words: str) -> str:
        """Wait until words are shown; return all that is."""
        self.until_true(lambda: words in self.text, words)
        return self.text

    def until_true(self, condition: Callable[[], bool], words: str = "") -> None:
        """Wait until a condition is met, while what is shown is read."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, (words, self.shown)
            assert self._read() or condition(), (words, self.shown)

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def ended(self) -> int:
        """Wait for the end; return the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < deadline, self.shown
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        """Take what is there; return whether more may come."""
        has_ended = self._process.poll() is not None  # before the look: all that it wrote is there
        if not select.select([self._master], [], [], 1)[0]:
            return not has_ended
        try:
            content = os.read(self._master, 65_536)
        except OSError:  # all of the other side is closed
            return False
        self.shown += content.decode(errors="replace")
        return bool(content)


@contextmanager
def on_terminal(
    arguments: Sequence[str], environment: dict[str, str], columns: int = 100, lines: int = 30
) -> Iterator[Terminal]:
    """Run a command on a terminal."""
    made = Terminal(arguments, environment, columns, lines)
    try:
        yield made
    finally:
        made.close()
