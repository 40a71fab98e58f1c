"""A thread that works when it is woken, and at intervals: the base of the engine's services."""

import threading
from collections.abc import Callable

import structlog

from rota.errors import Unavailable

log = structlog.get_logger(__name__)


class WakeableThread:
    """A daemon thread that calls `work` when it is woken, and at intervals. It survives every exception of `work`.

    `work` returns the seconds until its next call, or None for `interval`; without an interval it is called only when
    the thread is woken. Seconds are those of the monotonic clock: setting the wall clock changes nothing.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], float | None],
        interval: float | None = None,
        *,
        stop_timeout: float | None = None,
    ) -> None:
        """`stop_timeout`: how many seconds `stop` waits for a call that is in progress; None: until it returns."""
        self._unavailable, self._failed = f"{name}.unavailable", f"{name}.failed"
        self._work = work
        self._interval = interval
        self._stop_timeout = stop_timeout
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"rota-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop calling `work`; wait for a call that is in progress. It need not have been started."""
        self._stopped.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(self._stop_timeout)

    def wake(self) -> None:
        """Request a call of `work`, after the one in progress if there is one. Safe from any thread; never blocks."""
        self._woken.set()

    def _run(self) -> None:
        pause = self._interval
        while True:
            self._woken.wait(pause)
            self._woken.clear()
            if self._stopped.is_set():
                return
            pause = self._call()

    def _call(self) -> float | None:
        """Return the seconds until the next call."""
        pause: float | None = None
        try:
            pause = self._work()
        except Unavailable as error:
            log.warning(self._unavailable, error=error.detail)
        except Exception:
            log.exception(self._failed)
        return self._interval if pause is None else pause
