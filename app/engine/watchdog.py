"""The watchdog: rings by the monotonic clock, so that a clock set back cannot silence the service."""

import threading
from collections.abc import Callable


class Watchdog:
    """A thread of its own that calls `ring` every `interval` seconds."""

    def __init__(self, interval: float, ring: Callable[[], None]) -> None:
        self._interval = interval
        self._ring = ring
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rota-watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        # Event.wait counts monotonic time.
        while not self._stopped.wait(self._interval):
            self._ring()
