"""Jobs per second of APScheduler with its SQLAlchemyJobStore on SQLite: date jobs, all due at once."""

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path

from apscheduler.events import EVENT_JOB_ERROR
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from benchmarks.peers.application import Application
from benchmarks.peers.job_store import job_store
from benchmarks.processes import die_with_parent

_application: Application


def execute(job: int) -> None:
    """What is scheduled; the job store keeps a reference to it."""
    _application.keep(job, with_result=True)
    _application.one_ended()


def measure(folder: Path, count: int, threads: int, timeout: float, *, tuned: bool) -> float:
    """Return jobs per second, from the moment that all are due until the last one has committed."""
    global _application  # noqa: PLW0603  # stored jobs are found by name, so they share a module's variable
    _application = Application(folder, count, tuned=tuned)
    scheduler = BackgroundScheduler(
        timezone=UTC,
        jobstores={"default": job_store(folder, tuned=tuned)},
        executors={"default": ThreadPoolExecutor(threads)},
        job_defaults={"misfire_grace_time": None},
    )
    failed: list[BaseException] = []
    scheduler.add_listener(lambda event: failed.append(event.exception), EVENT_JOB_ERROR)
    scheduler.start(paused=True)
    now = datetime.now(UTC)
    for job in range(count):
        scheduler.add_job(execute, "date", run_date=now, args=[job], id=str(job))
    started_at = time.perf_counter()
    scheduler.resume()
    _application.wait(timeout)
    scheduler.shutdown()
    if failed:
        raise failed[0]
    return count / (_application.ended_at - started_at)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--threads", type=int, default=10)
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--tuned", action="store_true")
    given = parser.parse_args()
    # Stored by name: as `__main__` it could not be found again.
    from benchmarks.peers import apscheduler_runs  # noqa: PLC0415, PLW0406

    print(
        json.dumps(
            apscheduler_runs.measure(
                given.folder, given.count, given.threads, given.timeout, tuned=given.tuned
            )
        )
    )


if __name__ == "__main__":
    die_with_parent()
    main()
