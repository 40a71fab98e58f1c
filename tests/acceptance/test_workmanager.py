"""The scenario of a WorkManager user, as a user runs it."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.acceptance.launching import ROOT, environment
from tests.acceptance.server import Server, free_port

EXAMPLES = ROOT / "examples"
LONGEST = 120.0

Serve = Callable[..., Server]
on_sqlite = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)


def play(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / "workmanager.py", url],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )


@pytest.mark.slow
def test_the_scenario_succeeds(serve: Serve) -> None:
    server = serve(handlers=EXAMPLES / "workmanager_handlers.py")
    server.start()

    ended = play(server.url)

    assert ended.returncode == 0, ended.stdout + ended.stderr + server.log.read_text()
    assert "Everything was as expected." in ended.stdout
    chapters = [line for line in ended.stdout.splitlines() if line.startswith("# ")]
    assert len(chapters) == 8
    assert not ended.stderr


@on_sqlite
def test_an_unexpected_response_gives_exit_code_1(serve: Serve) -> None:
    server = serve()  # with other handlers than the scenario needs
    server.start()

    ended = play(server.url)

    assert ended.returncode == 1
    assert "Not as expected: expected 201" in ended.stderr
    assert "Everything" not in ended.stdout


def test_a_service_that_does_not_answer_is_reported() -> None:
    ended = play(f"http://127.0.0.1:{free_port()}")

    assert ended.returncode == 1
    assert "Nobody answers at" in ended.stderr
