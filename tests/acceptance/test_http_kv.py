"""A script in another language that keeps its state only in Rota, killed and started again at random."""

import os
import random
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import ordeals
from tests.acceptance.launching import ROOT
from tests.acceptance.server import PATIENCE, Server, free_port
from tests.support.factories import eventually
from tests.support.torture import Part, torture

NODE = shutil.which("node")
PYTHON_SCRIPT = [sys.executable, str(Path(__file__).with_name("cursor.py"))]
NODE_SCRIPT = [str(NODE), str(ROOT / "examples" / "cursor.mjs")]

Serve = Callable[..., Server]
needs_node = pytest.mark.skipif(NODE is None, reason="there is no `node` on this machine")


class Script:
    """A handler behind HTTP, in a process of its own; what it has handled is in a file."""

    def __init__(self, command: Sequence[str], handled: Path, items: int) -> None:
        self.port = free_port()
        self._items = items
        self._command = command
        self._handled = handled
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        variables = os.environ | {"PORT": str(self.port), "ITEMS": str(self._items)}
        with self._handled.open("ab") as output:
            self._process = subprocess.Popen(self._command, env=variables, stdout=output)
        eventually(self._listens, "the script does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def handled(self) -> list[str]:
        # What a kill has cut off is no line.
        return self._handled.read_text().split("\n")[:-1]

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def running(command: Sequence[str], handled: Path, items: int) -> Iterator[Script]:
    script = Script(command, handled, items)
    script.start()
    try:
        yield script
    finally:
        script.kill()


@dataclass(frozen=True)
class Ordeal:
    """How much there is to handle, and how often it is made hard."""

    items: int
    kills: int


SHORT, LONG = Ordeal(items=60, kills=4), Ordeal(items=1_000, kills=40)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_script_that_keeps_its_cursor_only_in_rota_handles_every_item_whenever_it_is_killed(
    serve: Serve, tmp_path: Path
) -> None:
    torment_and_check(serve, tmp_path, PYTHON_SCRIPT, SHORT)


@needs_node
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_the_same_script_in_javascript_handles_every_item_whenever_it_is_killed(
    serve: Serve, tmp_path: Path
) -> None:
    torment_and_check(serve, tmp_path, NODE_SCRIPT, SHORT)


@torture(Part.KILLS)
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(NODE_SCRIPT, id="node", marks=needs_node),
        pytest.param(PYTHON_SCRIPT, id="python"),
    ],
)
def test_a_script_that_is_killed_for_long_handles_every_item(
    serve: Serve, tmp_path: Path, command: Sequence[str]
) -> None:
    torment_and_check(serve, tmp_path, command, LONG)


def torment_and_check(serve: Serve, tmp_path: Path, command: Sequence[str], ordeal: Ordeal) -> None:
    seed = ordeals.seed()
    rota = serve(lease_ttl=1, concurrency=3)
    rota.start()
    with running(command, tmp_path / "handled", ordeal.items) as script:
        register(rota, script, ordeal.items // 10 + 6)
        torment(rota, script, random.Random(seed), ordeal.kills)
        settle(rota)

    check(rota, script.handled(), ordeal.items)


def register(rota: Server, script: Script, runs: int) -> None:
    """Have more runs wait than the feed needs; three at a time, so that they also meet each other's writes."""
    task: dict[str, Any] = {
        "handler": "http",
        "target": {"url": f"http://127.0.0.1:{script.port}/", "kv": ["cursor"], "timeout": 5},
        "kv": {"cursor": 0},
        "schedule": {"type": "manual"},
        "overlap_policy": "allow",
        "retention": {"runs": 1_000},  # all of them are checked in the end
        "retry": {
            # While the script starts, a run uses up ten a second, and forty starts of a busy machine take a while.
            "max_attempts": 1_000,
            "backoff": "constant",
            "initial_interval": 0.1,
            "jitter": False,
        },
    }
    rota.call("PUT", "/v1/tasks/feed", json=task)
    for _ in range(runs):
        rota.call("POST", "/v1/tasks/feed/run")


def torment(rota: Server, script: Script, dice: random.Random, kills: int) -> None:
    """Kill the script at random moments, and now and then the service."""
    for number in range(kills):
        threading.Event().wait(dice.uniform(0.01, 0.15))
        script.kill()
        if number % 4 == 3:
            rota.kill()
            rota.start()
        threading.Event().wait(dice.uniform(0, 0.1))
        if number == 0:
            meet_a_run(rota)
        script.start()


def meet_a_run(rota: Server) -> None:
    """Wait until a run has found the script dead; there may have been none left when it was killed."""
    rota.call("POST", "/v1/tasks/feed/run")
    runs = "/v1/tasks/feed/runs"
    eventually(lambda: any(run["attempt"] > 1 for run in rota.items(runs)), "no kill meets a run")


def settle(rota: Server) -> None:
    left = "/v1/runs?status=queued,running,blocked"
    eventually(lambda: not rota.items(left), "runs do not end", within=120)


def check(rota: Server, handled: list[str], items: int) -> None:
    runs = rota.items("/v1/tasks/feed/runs")
    failed = [(run["reason"], run["error"]) for run in runs if run["status"] != "succeeded"]
    assert failed == []
    # Each item at least once for the world outside, exactly once for what Rota keeps.
    assert set(handled) == {f"item {index}" for index in range(items)}
    succeeded = [run["result"]["handled"] for run in runs if run["status"] == "succeeded"]
    assert sum(succeeded) == items
    entries = {each["key"]: each["value"] for each in rota.items("/v1/tasks/feed/kv")}
    assert (entries["cursor"], entries["handled"]) == (items, items)
