"""The real service as a subprocess: started, killed, stopped, and asked over HTTP."""

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


class Server:
    """One service on a port of its own; `start` begins it anew after `kill` or `stop`."""

    def __init__(self, database_url: str, folder: Path, **settings: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"server-{self.port}.log"
        given = {"database_url": database_url, "port": self.port, "handlers": HANDLERS} | settings
        self._settings = {f"ROTA_{name.upper()}": str(value) for name, value in given.items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def spawn(self) -> None:
        """Begin the process; it may not listen yet."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [ROTA, "serve"], env=environment(self._settings), stdout=log, stderr=log, cwd=ROOT
            )

    def start(self) -> None:
        """Begin the process and wait until it can serve."""
        self.spawn()
        eventually(self._is_ready, "the service does not get ready")

    def kill(self) -> None:
        """End the process as a power failure would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def terminate(self) -> None:
        """Tell the process to end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for the end of the process; return its exit code."""
        assert self._process is not None
        code = self._process.wait(PATIENCE)
        self._process = None
        return code

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Make a request that must succeed; return its JSON."""
        answer = httpx.request(method, f"{self.url}{path}", timeout=PATIENCE, **options)
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
            return httpx.get(f"{self.url}/readyz", timeout=PATIENCE).is_success
        except httpx.TransportError:
            return False


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without settings of Rota, and with those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROTA_")}
    return kept | dict(settings)


def refusal(**settings: Any) -> tuple[int, str]:
    """Run a service that cannot start; return its exit code and what it says."""
    given = {f"ROTA_{name.upper()}": str(value) for name, value in settings.items()}
    ended = subprocess.run(
        [ROTA, "serve"],
        env=environment(given),
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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
