"""The real service as a subprocess: started, killed, stopped, and asked over HTTP."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.factories import eventually

ROTA = Path(sys.executable).with_name("rota")
HANDLERS = Path(__file__).with_name("handlers.py")
ROOT = Path(__file__).parents[2]
PATIENCE = 30.0

# Imports `rota` once and forks a `rota serve` for each line that it reads: a start then takes a tenth of a second
# and not two, most of them imports. What runs, and what is killed, is the same process otherwise.
_LAUNCHER = """
import os, sys
from app import cli
for _ in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        cli.app(["serve"])
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


class Server:
    """One service on a port of its own; `start` begins it anew after `kill` or `stop`."""

    def __init__(self, database_url: str, folder: Path, **settings: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"server-{self.port}.log"
        given = {"database_url": database_url, "port": self.port, "handlers": HANDLERS} | settings
        self.environment = environment(**given)
        self.is_running = False
        self._client = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Begin the process; it may not listen yet."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [ROTA, "serve"], env=self.environment, stdout=log, stderr=log, cwd=ROOT
            )
        self.is_running = True

    def start(self) -> None:
        """Begin the process and wait until it can serve."""
        self.spawn()
        eventually(self._is_ready, "the service does not get ready")

    def kill(self) -> None:
        """End the process as a power failure would."""
        if self._process is not None and self.is_running:
            self._process.kill()
            self.wait()

    def terminate(self) -> None:
        """Tell the process to end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for the end of the process; return its exit code."""
        assert self._process is not None
        self.is_running = False
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        """End everything."""
        self.kill()
        self._client.close()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a request; raises httpx.TransportError if nobody answers."""
        return self._client.request(method, path, **options)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Make a request that must succeed; return its JSON."""
        answer = self.ask(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def items(self, path: str) -> list[dict[str, Any]]:
        """Return the items of all pages of a list."""
        found: list[dict[str, Any]] = []
        query = "&" if "?" in path else "?"
        cursor = ""
        while True:
            page = self.call("GET", f"{path}{query}limit=200{cursor}")
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return self.ask("GET", "/readyz").is_success
        except httpx.TransportError:
            return False


class QuickServer(Server):
    """The same, for tests that start it often."""

    def __init__(self, database_url: str, folder: Path, **settings: Any) -> None:
        super().__init__(database_url, folder, **settings)
        self._launcher: subprocess.Popen[str] | None = None
        self._child = 0

    def spawn(self) -> None:
        if self._launcher is None:
            self._launcher = self._launch()
            self._process = self._launcher  # type: ignore[assignment]  # its pipes are text
        assert self._launcher.stdin is not None
        self._launcher.stdin.write("start\n")
        self._launcher.stdin.flush()
        self._child = int(self._told())
        self.is_running = True

    def kill(self) -> None:
        if self.is_running:
            os.kill(self._child, signal.SIGKILL)
            assert self._told() == "ended\n"
            self.is_running = False

    def close(self) -> None:
        super().close()
        if self._launcher is not None:
            with self._launcher:  # closes its pipes, which ends it
                pass

    def _launch(self) -> subprocess.Popen[str]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", _LAUNCHER],
                env=self.environment | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def _told(self) -> str:
        assert self._launcher is not None
        assert self._launcher.stdout is not None
        return self._launcher.stdout.readline()


def environment(**settings: Any) -> dict[str, str]:
    """Return this process's environment with these settings of Rota and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROTA_")}
    return kept | {f"ROTA_{name.upper()}": str(value) for name, value in settings.items()}


def refusal(settings: Mapping[str, Any]) -> tuple[int, str]:
    """Run a service that cannot start; return its exit code and what it says."""
    ended = subprocess.run(
        [ROTA, "serve"],
        env=environment(**settings),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        cwd=ROOT,
    )
    return ended.returncode, ended.stderr.decode()


def processes_of(database_url: str) -> list[int]:
    """Return the ids of the processes that were given this database."""
    wanted = f"ROTA_DATABASE_URL={database_url}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def free_port() -> int:
    """Return a port that stays free while its server is down.

    Below those that the system gives to clients, and in a stretch of this worker's own: one that the system chose could
    be a client's, or another worker's, by the time a killed server starts again.
    """
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = iter(range(20_000 + 1_000 * (_WORKER % 12), 21_000 + 1_000 * (_WORKER % 12)))
