import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.api import handlers
from tests.api.edge.sockets import listening
from tests.api.service import serving
from tests.cli.remote.command import CommandLine


@pytest.fixture(scope="module")
def service(another_database: Callable[[str], str]) -> Iterator[CommandLine]:
    """One service that listens, for all tests of a file: each uses names of its own."""
    with serving(another_database("sqlite")) as api, listening(api) as served:
        yield CommandLine(api, f"http://127.0.0.1:{served.port}")


@pytest.fixture
def rota(
    service: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CommandLine]:
    """The command line, for that service, and without contexts or keys of whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("ROTA_KEY", "ROTA_CONTEXT", "EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    yield service
    handlers.open_all()


@pytest.fixture
def environment(rota: CommandLine, tmp_path: Path) -> dict[str, str]:
    """What a process of its own finds that runs `rota` for that service."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {
        "ROTA_URL": rota.url,
        "XDG_CONFIG_HOME": str(tmp_path),
        "TERM": "xterm-256color",
    }
