"""How late APScheduler starts jobs at a steady rate: interval jobs in its SQLAlchemyJobStore on SQLite.

Among others, if wanted, that are not due.
"""

import argparse
import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from apscheduler.schedulers.background import BackgroundScheduler

from benchmarks.figures import spread
from benchmarks.peers.crowd import add_idle
from benchmarks.peers.job_store import job_store
from benchmarks.processes import die_with_parent

PERIOD = 1.0
_HEAD_START = 1.0
# A job that falls behind is started for each of its fire times all the same, as Rota does.
_MOST_AT_ONCE = 1_000


class _Record:
    """The lateness of each start. A job's fire times come in order, so a counter identifies them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: Counter[float] = Counter()
        self.late: list[tuple[float, float]] = []

    def start(self, first: float) -> None:
        now = time.time()
        with self._lock:
            due = first + self._starts[first] * PERIOD
            self._starts[first] += 1
            self.late.append((due, now - due))


_record = _Record()


def execute(first: float) -> None:
    """The scheduled job: it only records its start."""
    _record.start(first)


def measure(folder: Path, jobs: int, idle: int, warm_up: float, seconds: float) -> dict[str, float]:
    """Return the spread of the lateness in milliseconds, and the starts per second."""
    scheduler = BackgroundScheduler(
        timezone=UTC,
        jobstores={"default": job_store(folder, tuned=True)},
        job_defaults={
            "misfire_grace_time": None,
            "coalesce": False,
            "max_instances": _MOST_AT_ONCE,
        },
    )
    scheduler.start(paused=True)
    model = scheduler.add_job(execute, "interval", seconds=PERIOD, args=[0.0])
    model.remove()  # it is copied
    add_idle(folder, model, idle)
    begin = datetime.now(UTC) + timedelta(seconds=_HEAD_START + jobs * 0.01)
    for number in range(jobs):
        first = begin + timedelta(seconds=PERIOD * number / jobs)
        scheduler.add_job(
            execute,
            "interval",
            seconds=PERIOD,
            start_date=first,
            next_run_time=first,
            args=[first.timestamp()],
            id=str(number),
        )
    scheduler.resume()
    measured_from = begin.timestamp() + warm_up
    until = measured_from + seconds
    threading.Event().wait(max(until - time.time(), 0))
    late = [each for due, each in list(_record.late) if due >= measured_from]
    scheduler.shutdown(wait=False)
    found = spread([each * 1000 for each in late]) if late else None
    return {
        "per_second": len(late) / seconds,
        "p50": found.p50 if found else seconds * 1000,
        "p99": found.p99 if found else seconds * 1000,
        "most": found.most if found else seconds * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--warm-up", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    # Stored by name: as `__main__` it could not be found again.
    from benchmarks.peers import apscheduler_lateness as found_again  # noqa: PLC0415, PLW0406

    figures = found_again.measure(
        given.folder, given.jobs, given.idle, given.warm_up, given.seconds
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    die_with_parent()
    main()
