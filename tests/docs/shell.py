"""One shell for a page: what a command sets, later ones find."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.factories import eventually

#: Seconds that a command may take.
PATIENCE = 60.0


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it has printed, errors included."""

    code: int
    printed: str


@dataclass(frozen=True)
class Background:
    """A command that goes on."""

    pid: int
    log: Path

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return _is_running(self.pid)


class Shell:
    """A bash that reads commands, with its own process group, which `close` ends."""

    def __init__(self, folder: Path, environment: Mapping[str, str], scratch: Path) -> None:
        self._scratch = scratch
        self._count = 0
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-o", "pipefail"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, command: str) -> Ended:
        """Type a command and wait for its end; raises AssertionError if it goes on for too long."""
        log = self._log()
        said = self._type(f'{{ {command}\n}} > {log} 2>&1 < /dev/null\necho "$?"\n')
        return Ended(int(said), log.read_text())

    def begin(self, command: str) -> Background:
        """Type a command that goes on."""
        log = self._log()
        said = self._type(f'{{ {command}\n}} > {log} 2>&1 < /dev/null &\necho "$!"\n')
        return Background(int(said), log)

    def stop(self, running: Background) -> None:
        """End what goes on, and all that it has started; return when all of it has ended."""
        processes = (*_children(running.pid), running.pid)
        for each in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGTERM)
        eventually(lambda: not any(map(_is_running, processes)), "it does not end")

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with self._process:
            pass

    def _log(self) -> Path:
        self._count += 1
        log = self._scratch / f"{self._count}.log"
        log.touch()
        return log

    def _type(self, line: str) -> str:
        """Type a line; return the one line that it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            ready = selector.select(max(deadline - time.monotonic(), 0))
        assert ready, f"it goes on for more than {PATIENCE:.0f} s: {line}"
        said = self._process.stdout.readline().decode().strip()
        assert said.isdigit(), f"the shell has ended: {line}{said}"
        return said


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _children(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that these have started."""
    try:
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in map(int, own) for each in (*_children(child), child)]
