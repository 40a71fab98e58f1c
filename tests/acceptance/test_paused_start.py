"""`rota serve` on an empty machine, and `--paused` on what it has left: a backup that is restored must not fire."""

import sqlite3
import time
from contextlib import closing
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
        ran, said_before = number_of_runs(database), len(server.log.read_text())
        time.sleep(1.1)  # something is overdue

        server.start(arguments=("--paused",))
        held_by = server.call("GET", "/v1/tasks/often")["held_by"]
        time.sleep(1.1)  # longer than the watchdog's period: what is due would have fired
        while_paused = number_of_runs(database)
        server.call("DELETE", "/v1/holds/paused-at-start")
        eventually(lambda: number_of_runs(database) > ran, "it does not continue")

        said = server.log.read_text()
        assert said.startswith(f"There was no database: {database} is new and empty.\n")
        assert "Nothing fires and nothing starts" in said[said_before:]
        assert said.count("/docs") == 2
        assert held_by == ["paused-at-start"]
        assert while_paused == ran
    finally:
        server.close()


def number_of_runs(database: Path) -> int:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as connection:
        (number,) = connection.execute("SELECT count(*) FROM run").fetchone()
    return int(number)
