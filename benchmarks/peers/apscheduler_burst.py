"""How long APScheduler takes to start interval jobs that are all due at one instant, among very many that are not.

The jobs are in its SQLAlchemyJobStore on SQLite; each that is started commits a result and a kv entry. Its threads are
as many as it takes by itself.
"""

import argparse
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from benchmarks.peers.application import Application
from benchmarks.peers.crowd import add_due, add_idle
from benchmarks.peers.job_store import job_store
from benchmarks.processes import die_with_parent

_EVERY_HOURS = 12
# What adding the due jobs may take.
_HEAD_START = timedelta(seconds=1)
_PER_JOB = timedelta(milliseconds=0.2)

_application: Application
_starts: list[float] = []


def execute(job: int) -> None:
    """What is scheduled; the job store keeps a reference to it."""
    _starts.append(time.time())
    _application.keep(job, with_result=True)
    _application.one_ended()


def measure(
    folder: Path, registered: int, due: int, patience: float, *, tuned: bool
) -> dict[str, Any]:
    """Return how many had started, and seconds until the last start and the last end (None: not all have ended)."""
    global _application  # noqa: PLW0603  # stored jobs are found by name, so they share a module's variable
    _application = Application(folder, due, tuned=tuned)
    scheduler = BackgroundScheduler(
        timezone=UTC,
        jobstores={"default": job_store(folder, tuned=tuned)},
        job_defaults={"misfire_grace_time": None, "coalesce": True},
    )
    scheduler.start(paused=True)
    model = scheduler.add_job(execute, "interval", hours=_EVERY_HOURS, args=[0])
    model.remove()  # it is copied
    add_idle(folder, model, registered - due)
    at = datetime.now(UTC) + _HEAD_START + due * _PER_JOB
    add_due(folder, model, due, at)
    # If filling took longer than the head start, the instant is when it may begin.
    begin = max(at.timestamp(), time.time())
    scheduler.resume()
    try:
        _application.wait(begin - time.time() + patience)
    except TimeoutError:
        return {"started": len(_starts), "last_start": patience, "last_end": None}
    ended = time.time()
    scheduler.shutdown()
    return {
        "started": len(_starts),
        "last_start": max(_starts) - begin,
        "last_end": ended - begin,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--registered", type=int, required=True)
    parser.add_argument("--due", type=int, required=True)
    parser.add_argument("--patience", type=float, required=True)
    parser.add_argument("--tuned", action="store_true")
    given = parser.parse_args()
    # Stored by name: as `__main__` it could not be found again.
    from benchmarks.peers import apscheduler_burst as found_again  # noqa: PLC0415, PLW0406

    figures = found_again.measure(
        given.folder, given.registered, given.due, given.patience, tuned=given.tuned
    )
    print(json.dumps(figures), flush=True)
    # Python would wait for the jobs that have not started yet.
    os._exit(0)


if __name__ == "__main__":
    die_with_parent()
    main()
