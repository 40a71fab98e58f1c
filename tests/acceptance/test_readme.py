"""The README's curl lines, typed as a stranger would, give the replies that it prints."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.acceptance.launching import ROOT, Installed
from tests.acceptance.server import Server
from tests.support.factories import eventually

STEP = re.compile(r"```console\n\$ (curl [^\n]+)\n```\n```json\n(.*?)\n```", re.DOTALL)
# What differs each time: ids, times, cursors, and how long things took.
VOLATILE = re.compile(
    r'[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]+|[0-9a-f]{32}|\d{4}-\d\d-\d\dT[\d:.]+Z|"[\w-]{60,}"'
    r'|(?<="lateness": )[\d.]+|(?<="duration": )[\d.]+'
)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_the_readme_prints_what_its_commands_print(
    serve: Callable[..., Server], installed: Installed
) -> None:
    steps = STEP.findall((ROOT / "README.md").read_text())
    server = serve(installed, handlers=ROOT / "examples" / "handlers.py")
    server.start()

    outputs = []
    for command, _ in steps:
        outputs.append(_type(command, server.port))
        _wait_as_the_readme_does(server, outputs)

    assert len(steps) > 3
    assert [_masked(text) for text in outputs] == [_masked(printed) for _, printed in steps]


def _type(command: str, port: int) -> str:
    typed = command.replace("localhost:8000", f"localhost:{port}")
    return subprocess.run(typed, shell=True, capture_output=True, text=True, check=True).stdout


def _wait_as_the_readme_does(server: Server, outputs: list[str]) -> None:
    """The first step registers a task that fires every five seconds; the third looks ten seconds later.

    Its two fire times are moved to the next second, so that the test does not take these ten seconds.
    """
    if len(outputs) == 2:
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


def _masked(text: str) -> Any:
    return json.loads(VOLATILE.sub(lambda found: '"…"' if found[0].startswith('"') else "0", text))
