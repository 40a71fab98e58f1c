"""Tasks per second of Huey on SQLite: all enqueued before its consumer starts, results stored."""

import argparse
import json
import time
from pathlib import Path

from huey import SqliteHuey
from huey.signals import SIGNAL_COMPLETE, SIGNAL_ERROR

from benchmarks.peers.application import Application
from benchmarks.processes import die_with_parent

_LOCK_TIMEOUT = 30


def measure(folder: Path, count: int, workers: int, timeout: float, *, tuned: bool) -> float:
    """Return tasks per second, from the consumer's start until the last result is kept."""
    application = Application(folder, count, tuned=tuned)
    huey = SqliteHuey(
        filename=str(folder / "huey.db"), fsync=True, journal_mode="wal", timeout=_LOCK_TIMEOUT
    )
    failed: list[str] = []

    @huey.task()
    def execute(task: int) -> dict[str, bool]:
        application.keep(task, with_result=False)
        return {"done": True}

    # Huey signals a task's completion after it has stored the result.
    huey.signal(SIGNAL_COMPLETE)(lambda *_: application.one_ended())
    huey.signal(SIGNAL_ERROR)(lambda _signal, task, *_: failed.append(str(task)))
    for task in range(count):
        execute(task)
    consumer = huey.create_consumer(workers=workers, worker_type="thread", periodic=False)
    started_at = time.perf_counter()
    consumer.start()
    application.wait(timeout)
    consumer.stop(graceful=True)
    if failed:
        raise RuntimeError(f"{len(failed)} tasks failed")
    return count / (application.ended_at - started_at)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--tuned", action="store_true")
    given = parser.parse_args()
    print(
        json.dumps(
            measure(given.folder, given.count, given.workers, given.timeout, tuned=given.tuned)
        )
    )


if __name__ == "__main__":
    die_with_parent()
    main()
