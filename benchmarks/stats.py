"""Statistics among very many tasks and runs: of one task, and of all runs of a window."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from benchmarks.figures import Line, Spread, spread
from benchmarks.filling import Group, fill
from benchmarks.rota import sqlite_url
from benchmarks.run_filling import fill_runs
from benchmarks.workspace import subfolder
from rota.db.engine import Database
from rota.domain.stats.window import Window
from rota.store.stats.chosen import ChosenTasks
from rota.store.stats.reading import last_failure, read_report
from rota.store.task_rows import find_task

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    tasks: int = 100_000
    runs: int = 1_000_000
    reads: int = 50


QUICK = Size(tasks=2_000, runs=20_000, reads=10)


def benchmark(folder: Path, size: Size, postgres: str | None) -> list[Line]:
    """Return how long the statistics of a task take, and those of all tasks."""
    urls = {"SQLite": sqlite_url(subfolder(folder, "sqlite"))}
    if postgres is not None:
        urls["PostgreSQL"] = postgres
    return [line for name, url in urls.items() for line in _measured(name, url, size)]


def _measured(name: str, url: str, size: Size) -> Iterator[Line]:
    now = datetime.now(UTC).replace(microsecond=0)
    fill(url, size.tasks, 0)
    fill_runs(url, size.tasks, size.runs, now - _DAY, now)
    database = Database(url)
    try:
        window = Window(now - _DAY, now)
        _of_one(database, 0, window, now)  # compiles the statements
        of_one = [_of_one(database, number, window, now) for number in _numbers(size)]
        with database.read() as connection:
            of_all = _timed(connection, ChosenTasks(), window, now)
    finally:
        database.close()
    among = f"of {size.tasks:,} tasks with {size.runs:,} runs, on {name}"
    yield _line(f"Statistics of one {among}", spread(of_one))
    yield Line(what=f"Statistics of all {among}", rota=f"{of_all:,.0f} ms")


def _line(what: str, found: Spread) -> Line:
    return Line(what=what, rota=str(found), ratio=found.p50, unit="ms", aim="at most", limit=50)


def _numbers(size: Size) -> Iterator[int]:
    """Yield the numbers of tasks all over the table."""
    return (number * size.tasks // size.reads for number in range(size.reads))


def _of_one(database: Database, number: int, window: Window, now: datetime) -> float:
    with database.read() as connection:
        task = find_task(connection, f"{Group.IDLE}-{number:07d}")
        taken = _timed(connection, ChosenTasks(id=task.id), window, now)
        begun = time.perf_counter()
        last_failure(connection, task.id)
        return taken + (time.perf_counter() - begun) * 1_000


def _timed(connection: Connection, chosen: ChosenTasks, window: Window, now: datetime) -> float:
    """Return how many milliseconds a report takes."""
    begun = time.perf_counter()
    read_report(connection, chosen, window, now)
    return (time.perf_counter() - begun) * 1_000
