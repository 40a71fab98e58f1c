"""Celery's worker, tied to the life of the benchmark that starts it."""

from benchmarks.peers.celery_http import IDLE, app
from benchmarks.processes import die_with_parent

# On two processors.
_PROCESSES = 4


def main() -> None:
    options = ("--pool", "prefork", "--concurrency", str(_PROCESSES), "--queues", IDLE)
    quietly = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle")
    app.worker_main(["worker", *options, *quietly])


if __name__ == "__main__":
    die_with_parent()
    main()
