"""What is done again and again, by the monotonic clock: a clock that is set, forward or back, changes nothing."""

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

# How long a stop waits for a job that is under way; it is left to its daemon thread then.
_PATIENCE = 2.0


class Periodic:
    """A thread of its own that calls `job` every `interval` seconds, and sooner when it is told to."""

    def __init__(self, interval: float, job: Callable[[], None], name: str) -> None:
        self._interval = interval
        self._job = job
        self._bell = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"rota-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hurry(self) -> None:
        """Have the job done now, or once more if it is under way; safe from any thread, never waits."""
        self._bell.set()

    def stop(self) -> None:
        """Call the job no more; wait for one that is under way, but not for ever."""
        self._stopping = True
        self._bell.set()
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while True:
            # Event.wait counts monotonic time.
            self._bell.wait(self._interval)
            self._bell.clear()
            if self._stopping:
                return
            try:
                self._job()
            except Exception:
                log.exception("periodic.failed", job=self._thread.name)
