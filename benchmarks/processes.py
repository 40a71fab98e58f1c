"""Child processes that always end: with the block that started them, and with this process."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_PATIENCE = 20.0
_TAIL = 2_000


class ProcessFailedError(Exception):
    """A child failed; the message has its last output."""


@contextmanager
def running(
    module: str, *arguments: str, log: Path, settings: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m module` during the block, with its output in `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=_environment(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield child
    finally:
        _end(child)


def measured(module: str, *arguments: str, timeout: float) -> Any:
    """Run `python -m module` to its end and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=_environment({}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        output = done.stderr.decode(errors="replace")[-_TAIL:]
        raise ProcessFailedError(f"{module} ended with {done.returncode}:\n{output}")
    return json.loads(done.stdout)


def check_alive(child: subprocess.Popen[bytes], log: Path) -> None:
    """Raise, with the end of its log, if a child has ended."""
    if child.poll() is not None:
        output = log.read_text(errors="replace")[-_TAIL:]
        raise ProcessFailedError(f"A server ended with {child.returncode}:\n{output}")


def die_with_parent() -> None:
    """Have the kernel end this process when its parent dies in any way; Linux only."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def free_port() -> int:
    """Return a port of 127.0.0.1 without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmRSS"].split()[0]) / 1024
    shown = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)],
        capture_output=True,
        check=True,
    )
    return int(shown.stdout) / 1024


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ROTA_")}
    sources = os.pathsep.join([str(ROOT / "app"), str(ROOT)])
    return own | {"PYTHONPATH": sources, **settings}


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_PATIENCE)
    except BaseException:
        child.kill()
        child.wait()
        raise
