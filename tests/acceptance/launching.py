"""Starting `rota`: as it is installed, or forked from a process that has imported it already."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.support.factories import eventually

ROTA = Path(sys.executable).with_name("rota")
ROOT = Path(__file__).parents[2]

# One request a line. What is forked is the same program: only its imports and its routes, most of a start, were made
# before.
_FORKS = """
import gc, json, os, sys
from rota import cli, main
from rota.cli.local import database, keys, serve
from rota.cli.local.serving import service
from tests.support.routes import look_through, with_shared_routes

look_through(with_shared_routes(main.create_app()))
service.create_app = lambda settings: with_shared_routes(main.create_app(settings))
gc.collect()
gc.freeze()

def run(arguments, environment, log):
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for output in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), output)
    cli.app(arguments)

def state(child):
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None

for line in sys.stdin:
    request = json.loads(line)
    if "child" in request:
        answer = state(request["child"])
    else:
        answer = os.fork()
        if not answer:
            run(**request)
    print(json.dumps(answer), flush=True)
"""


class Process(Protocol):
    """A `rota` that was started."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Return its exit code, or minus the signal that has ended it; None while it runs."""

    def send_signal(self, signal: int, /) -> None: ...


class Installed:
    """Starts the program that the distribution installs, in a folder."""

    def __init__(self, program: Path = ROTA, folder: Path = ROOT) -> None:
        self._program = program
        self._folder = folder

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [self._program, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
            )


class Forked:
    """Starts the same in a tenth of a second and not in two."""

    def __init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROTA_")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKS],
            env=kept | {"PYTHONPATH": str(ROOT / "app")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> "_Child":
        log.touch()
        request = {"arguments": arguments, "environment": environment, "log": str(log)}
        return _Child(self, self.ask(request))

    def ask(self, request: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        with self._process:  # closes its pipes, which ends it
            pass


class _Child:
    """A process of which only the one that has forked it may ask how it ended, and only once."""

    def __init__(self, parent: Forked, pid: int) -> None:
        self.pid = pid
        self._parent = parent
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._parent.ask({"child": self.pid})
        return self._code

    def send_signal(self, signal: int, /) -> None:
        # An id that was waited for may be another's by now.
        if self.poll() is None:
            os.kill(self.pid, signal)


Start = Installed | Forked


def wait(process: Process) -> int:
    """Wait for its end; return what `poll` does."""
    eventually(lambda: process.poll() is not None, "it does not end")
    code = process.poll()
    assert code is not None
    return code


def kill(process: Process) -> None:
    """End it as a power failure would."""
    process.send_signal(signal.SIGKILL)
    wait(process)


def environment(**settings: Any) -> dict[str, str]:
    """Return this process's environment with these settings of Rota and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROTA_")}
    return kept | {f"ROTA_{name.upper()}": str(value) for name, value in settings.items()}
