"""`rota serve` on an empty machine, and `--paused` on what it has left: a backup that is restored must not fire."""

import time
from pathlib import Path

from tests.acceptance.launching import Forked
from tests.acceptance.server import Server
from tests.support.factories import eventually

OFTEN = {"handler": "count", "schedule": {"type": "interval", "every": "1s"}}


def test_a_paused_start_fires_nothing_of_what_is_overdue(forked: Forked, tmp_path: Path) -> None:
    database = tmp_path / "rota.db"
    server = Server(forked, f"sqlite:///{database}", tmp_path)
    try:
        server.start()  # there was no file
        server.call("PUT", "/v1/tasks/often", json=OFTEN)
        eventually(lambda: server.items("/v1/runs"), "it does not fire")
        server.kill()
        ran = len(server.log.read_text())
        time.sleep(1.1)  # something is overdue

        server.start(arguments=("--paused",))
        before = server.items("/v1/runs")
        explained = server.call("GET", "/v1/tasks/often/explain")
        server.call("DELETE", "/v1/holds/paused-at-start")
        eventually(lambda: len(server.items("/v1/runs")) > len(before), "it does not go on")

        said = server.log.read_text()
        assert said.startswith(f"There was no database: {database} is new and empty.\n")
        assert "Nothing fires and nothing starts" in said[ran:]
        assert said.count("/docs") == 2
        assert explained["verdict"] == "held"
        assert not [run for run in before if run["status"] in {"queued", "running"}]
    finally:
        server.close()
