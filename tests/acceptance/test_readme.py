"""The README's commands, typed as a stranger would, print what it shows."""

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.launching import ROOT, ROTA, Installed
from tests.acceptance.server import Server
from tests.docs.output import agrees
from tests.docs.reader import commands_of
from tests.support.factories import eventually

BLOCK = re.compile(r"```console\n(.*?)\n```", re.DOTALL)
HANDLER = re.compile(r"```python\n(.*?)\n```", re.DOTALL)
#: Makes the environment and starts the service.
BEFORE = ("git clone", "make run")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_the_readme_prints_what_its_commands_print(
    serve: Callable[..., Server], installed: Installed, tmp_path: Path
) -> None:
    readme = (ROOT / "README.md").read_text()
    (reminders := tmp_path / "reminders.py").write_text("\n".join(HANDLER.findall(readme)))
    steps = [
        step
        for block in BLOCK.findall(readme)
        for step in commands_of(block)
        if not step[0].startswith(BEFORE)
    ]
    server = serve(installed, handlers=f"{ROOT / 'examples' / 'handlers.py'},{reminders}")
    server.start()

    for number, (command, shown) in enumerate(steps):
        printed = _type(command, server)
        assert agrees(shown, printed), f"{command}\n{printed}\n--- the README shows ---\n{shown}"
        if number == 0:
            _wait_as_the_readme_does(server)

    assert len(steps) > 3


def _type(command: str, server: Server) -> str:
    typed = command.replace("localhost:8000", f"localhost:{server.port}")
    typed = typed.replace(".venv/bin/rota", str(ROTA))
    environment = server.environment | {"ROTA_URL": server.url, "COLUMNS": "200"}
    done = subprocess.run(
        typed,
        shell=True,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # in the order in which a terminal shows them
        text=True,
        check=False,
    )
    return done.stdout.rstrip("\n")


def _wait_as_the_readme_does(server: Server) -> None:
    """The first step registers a task that fires every five seconds; the second looks ten seconds later.

    Its two fire times are moved to the next second, so that the test does not take these ten seconds.
    """
    for times in (1, 2):
        eventually(partial(_fires_soon, server), "the fire time cannot be moved")
        eventually(partial(_has_greeted, server, times), "Ada is not greeted")
    server.call("POST", "/v1/tasks/greet/pause")


def _fires_soon(server: Server) -> bool:
    """Move the next fire time; False if it has passed before the request is handled."""
    soon = {"next_fire_at": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}
    return server.ask("PATCH", "/v1/tasks/greet", json=soon).is_success


def _has_greeted(server: Server, times: int) -> bool:
    runs = server.items("/v1/tasks/greet/runs")
    return sum(run["status"] == "succeeded" for run in runs) == times
