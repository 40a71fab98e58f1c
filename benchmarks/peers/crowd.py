"""Very many jobs in an APScheduler job store, made in seconds: one job is added, its row is copied."""

import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from apscheduler.job import Job

from benchmarks.peers.job_store import FILE

_FAR = timedelta(days=3_650)
_COPY = """
    WITH RECURSIVE numbers(number) AS (
        SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < :count
    )
    INSERT INTO apscheduler_jobs (id, next_run_time, job_state)
    SELECT 'idle-' || printf('%07d', number), :far, :state FROM numbers
"""


def add_idle(folder: Path, model: Job, count: int) -> None:
    """Add so many jobs that are never due here, and are never read, so that each may have the model's content."""
    if not count:
        return
    far = datetime.now(UTC) + _FAR
    values = {"count": count, "far": far.timestamp(), "state": _state(model, "idle", far)}
    with _writing(folder) as connection:
        connection.execute(_COPY, values)


def add_due(folder: Path, model: Job, count: int, at: datetime) -> None:
    """Add so many jobs that are due at `at`; each has its number as argument."""
    due = (
        (str(number), at.timestamp(), _state(model, str(number), at, args=(number,)))
        for number in range(count)
    )
    with _writing(folder) as connection:
        connection.executemany("INSERT INTO apscheduler_jobs VALUES (?, ?, ?)", due)


def _state(model: Job, id: str, at: datetime, **fields: Any) -> bytes:
    """Return what a job store keeps of such a job."""
    state = model.__getstate__() | {"id": id, "next_run_time": at} | fields
    return pickle.dumps(state, pickle.HIGHEST_PROTOCOL)


@contextmanager
def _writing(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection of its own: that it is not durable must not outlast it."""
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        yield connection
        connection.commit()
