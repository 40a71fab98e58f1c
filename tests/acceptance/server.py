"""The real service as a process of its own: started, killed, stopped, and called over HTTP."""

import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import httpx

from tests.acceptance import launching
from tests.acceptance.launching import Process, Start, environment
from tests.support.factories import eventually

HANDLERS = Path(__file__).with_name("handlers.py")
PATIENCE = 30.0
#: A machine that is busy may take long to read and compile all that is imported; a test has a timeout of its own.
START_SECONDS = 180.0


class Server:
    """One service on a port of its own; `start` starts it again after `kill` or `stop`."""

    def __init__(self, begin: Start, database_url: str, folder: Path, **settings: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"server-{self.port}.log"
        given = {"database_url": database_url, "port": self.port, "handlers": HANDLERS} | settings
        self.environment = environment(**given)
        self.is_running = False
        self._begin = begin
        self._client = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)
        self._process: Process | None = None

    def spawn(self, arguments: Sequence[str] = ()) -> None:
        """Begin the process; it may not listen yet."""
        self._process = self._begin.start(["serve", *arguments], self.environment, self.log)
        self.is_running = True

    def start(self, within: float = START_SECONDS, arguments: Sequence[str] = ()) -> None:
        """Start the process and wait until it can serve, for `within` seconds at most."""
        self.spawn(arguments)
        eventually(self._is_ready, "the service does not get ready", within)

    def kill(self) -> None:
        """End the process as a power failure would."""
        if self._process is not None and self.is_running:
            self.is_running = False
            launching.kill(self._process)

    def terminate(self) -> None:
        """Request the process to end."""
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end of the process; return its exit code."""
        assert self._process is not None
        code = launching.wait(self._process)
        self.is_running = False
        return code

    def close(self) -> None:
        """End everything."""
        self.kill()
        self._client.close()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a request; raises httpx.TransportError if there is no answer."""
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


def refusal(begin: Start, folder: Path, **settings: Any) -> tuple[int, str]:
    """Run a service that cannot start; return its exit code and output."""
    log = folder / "refused.log"
    process = begin.start(["serve"], environment(**settings), log)
    try:
        return launching.wait(process), log.read_text()
    finally:
        launching.kill(process)


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

    The system gives clients ports above these. Each worker has a range of its own, and each session of tests begins at
    another port of it: one that the system chose could belong to a client, another worker or another session by the
    time a killed server starts again.
    """
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_RANGE = range(20_000 + 1_000 * (_WORKER % 12), 21_000 + 1_000 * (_WORKER % 12))
_FIRST = os.getpid() % len(_RANGE)
_PORTS = chain(_RANGE[_FIRST:], _RANGE[:_FIRST])
