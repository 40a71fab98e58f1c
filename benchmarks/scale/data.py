"""A large database, made in a minute: one task is registered, and rows are generated with a few statements.

Run n is of task n % tasks; the runs end evenly over 30 days, the newest now. 2 % have failed, 0.5 % are skipped, 0.3 %
cancelled; every hundredth run is one of the busiest task.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from benchmarks.filling import register_model
from benchmarks.rota import migrated
from rota.db.tables import run, task

TEAMS = 100
#: The task with the most runs: its number is 7, so its team is the eighth.
BUSIEST = "team07-0000007"
_SPAN = timedelta(days=30)
#: After how many seconds the first task is due, and all of them.
_FIRST_DUE, _WEEK = 7_200, 600_000
_KEPT = {"runs": 100_000, "age": "P300D"}

_WORDS: Mapping[str, Mapping[str, str]] = {
    "sqlite": {
        "task_id": "'01900000000070008000' || printf('%012x', {0})",
        "run_id": "'01910000000070008000' || printf('%012x', {0})",
        "other_id": "'01920000000070008000' || printf('%012x', {0})",
        "padded": "printf('%0{1}d', {0})",
        "at": "strftime('%Y-%m-%d %H:%M:%f', {0}, 'unixepoch') || '+00:00'",
        "bytes": "CAST('1' AS BLOB)",
    },
    "postgresql": {
        "task_id": "CAST('01900000000070008000' || lpad(to_hex({0}), 12, '0') AS uuid)",
        "run_id": "CAST('01910000000070008000' || lpad(to_hex({0}), 12, '0') AS uuid)",
        "other_id": "CAST('01920000000070008000' || lpad(to_hex({0}), 12, '0') AS uuid)",
        "padded": "lpad(CAST({0} AS text), {1}, '0')",
        "at": "to_timestamp({0})",
        "bytes": "CAST('1' AS bytea)",
    },
}
_NUMBERS = """
    WITH RECURSIVE numbers(n) AS (
        SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count}
    )
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows there are."""

    tasks: int = 100_000
    runs: int = 1_000_000
    #: How often each request is measured.
    rounds: int = 5


QUICK = Size(tasks=2_000, runs=20_000, rounds=2)


def seed(url: str, size: Size) -> None:
    """Fill an empty database."""
    register_model(migrated(url), {"retention": _KEPT, "tags": []})
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_sqlite = engine.dialect.name == "sqlite"
        if is_sqlite:
            connection.exec_driver_sql("PRAGMA synchronous=OFF")
            connection.exec_driver_sql("PRAGMA cache_size=-400000")
        filling = _Filling(connection, size)
        filling.tasks()
        filling.runs()
        filling.others()
        connection.exec_driver_sql(
            "PRAGMA wal_checkpoint(TRUNCATE)" if is_sqlite else "VACUUM ANALYZE"
        )


class _Filling:
    """The statements, in the syntax of the database."""

    def __init__(self, connection: Connection, size: Size) -> None:
        self._connection = connection
        self._size = size
        self._words = _WORDS[connection.dialect.name]
        self._now = datetime.now(UTC).timestamp()

    def tasks(self) -> None:
        """Copy the registered task; one in twenty is paused, and each has the tags of its team, and of half of all."""
        self._connection.exec_driver_sql("CREATE TEMPORARY TABLE model AS SELECT * FROM task")
        self._connection.exec_driver_sql("DELETE FROM task")
        own = {
            "id": self._word("task_id", "n"),
            "name": f"'team' || {self._word('padded', f'n % {TEAMS}', 2)} || '-' || {self._word('padded', 'n', 7)}",
            # All within the coming week, and none while it is measured.
            "next_fire_at": self._at(
                f"{self._now + _FIRST_DUE:.0f} + n * {(_WEEK - _FIRST_DUE) / self._size.tasks:.6f}"
            ),
            "status": "CASE WHEN n % 20 = 3 THEN 'paused' ELSE 'active' END",
        }
        copied = [each.name for each in task.c if each.name not in own]
        columns = ", ".join([*own, *copied])
        values = ", ".join([*own.values(), *copied])
        self._insert(f"task ({columns})", f"{values} FROM numbers, model", self._size.tasks)
        team = f"'team-' || {self._word('padded', f'n % {TEAMS}', 2)}"
        of_task = self._word("task_id", "n")
        tags = "task_tag (tag, task_id)"
        self._insert(tags, f"{team}, {of_task} FROM numbers", self._size.tasks)
        self._insert(tags, f"'half', {of_task} FROM numbers WHERE n % 2 = 0", self._size.tasks)
        self._insert(tags, f"'rare', {of_task} FROM numbers", 3)

    def runs(self) -> None:
        """Make the runs; a few of them have been run again."""
        step = _SPAN.total_seconds() / self._size.runs
        due = f"{self._now - _SPAN.total_seconds():.3f} + n * {step:.9f}"
        failed, skipped, cancelled = "n % 1000 < 20", "n % 1000 < 25", "n % 1000 < 28"
        kind = "CASE WHEN n < 10 THEN 'rare' WHEN n % 1000 = 0 THEN 'ValueError' ELSE 'http.status' END"
        rows = {
            "id": self._word("run_id", "n"),
            "task_id": self._word(
                "task_id", f"(CASE WHEN n % 100 = 7 THEN 7 ELSE n % {self._size.tasks} END)"
            ),
            "task_generation": "1",
            "trigger": "CASE WHEN n % 1000 = 500 THEN 'manual' ELSE 'schedule' END",
            "scheduled_for": self._at(due),
            "count": "1",
            "status": f"CASE WHEN {failed} THEN 'failed' WHEN {skipped} THEN 'skipped'"
            f" WHEN {cancelled} THEN 'cancelled' ELSE 'succeeded' END",
            "reason": f"CASE WHEN n < 10 THEN 'fatal' WHEN {failed} THEN 'error' WHEN {skipped} THEN 'misfire'"
            f" WHEN {cancelled} THEN 'requested' END",
            "error": f"""CASE WHEN {failed} THEN '{{"type":"' || {kind}"""
            """ || '","message":"request ' || n || ' was refused","traceback":null}' END""",
            "error_type": f"CASE WHEN {failed} THEN {kind} END",
            "result": f"CASE WHEN NOT ({cancelled}) THEN '{{\"sent\":true}}' END",
            "handler": "'noop'",
            "queue": "'default'",
            "priority": "0",
            "constrained": "FALSE",
            "input": '\'{"customer":1,"kind":"reminder"}\'',
            "attempt": "1",
            "outcome": f"CASE WHEN {failed} THEN 'failed' WHEN NOT ({cancelled}) THEN 'succeeded' END",
            "failures": "0",
            "lost_count": "0",
            "conflict_count": "0",
            "created_at": self._at(due),
            "first_started_at": self._at(f"{due} + 0.01"),
            "started_at": self._at(f"{due} + 0.01"),
            "finished_at": self._at(f"{due} + 1"),
        }
        assert rows.keys() <= {each.name for each in run.c}
        self._insert(
            f"run ({', '.join(rows)})", f"{', '.join(rows.values())} FROM numbers", self._size.runs
        )

    def others(self) -> None:
        """Make entries of the audit log, and of the kv of the busiest task."""
        count = self._size.runs // 10
        at = self._at(
            f"{self._now - _SPAN.total_seconds():.3f} + n * {_SPAN.total_seconds() / count:.6f}"
        )
        team = self._word("padded", f"n % {TEAMS}", 2)
        number = self._word("padded", f"n % {self._size.tasks}", 7)
        name = f"'team' || {team} || '-' || {number}"
        self._insert(
            "audit (id, at, principal, request_id, action, kind, name, task)",
            f"{self._word('other_id', 'n')}, {at},"
            " CASE WHEN n < 5 THEN 'key:rare' ELSE 'key:deploy' END,"
            " 'r',"
            " CASE WHEN n = 3 THEN 'task.deleted' ELSE 'task.paused' END,"
            f" 'task', {name}, {name} FROM numbers",
            count,
        )
        self._insert(
            "kv (task_id, key, value, content_type, version, updated_at, updated_by)",
            f"{self._word('task_id', '7')}, 'k' || {self._word('padded', 'n', 7)}, {self._words['bytes']},"
            f" 'application/json', n + 1, {self._at(f'{self._now:.0f}')}, 'local' FROM numbers",
            self._size.tasks // 2,
        )

    def _insert(self, into: str, selected: str, count: int, first: int = 0) -> None:
        numbers = _NUMBERS.format(first=first, count=count)
        self._connection.execute(
            text(f"{numbers} INSERT INTO {into} SELECT {selected}".replace(":", r"\:"))
        )

    def _word(self, name: str, *values: Any) -> str:
        return self._words[name].format(*values)

    def _at(self, seconds: str) -> str:
        return self._word("at", seconds)
