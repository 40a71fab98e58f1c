"""Wakes the runs that wait for a host when its circuit closes, ahead of their `not_before`."""

from datetime import timedelta
from typing import Final

import structlog

from rota.db.writer import Writer
from rota.domain.reasons import WaitingOn
from rota.egress.origins.circuit_breaker import GROUP, INTERVAL
from rota.errors import Unavailable
from rota.store.scheduling.waking import WakeWaiting

log = structlog.get_logger(__name__)

#: How many are woken; more than these come at their own times, while the first ones are under way.
MOST_WOKEN: Final = 1_000
# The default of the setting for that, in seconds.
_USUAL = 60.0


class HostWaker:
    """Called with the origin of a circuit that was closed, on any loop.

    It is a courtesy: without it the runs come at their own times, so nothing is retried.
    """

    def __init__(self, writer: Writer, longest: float) -> None:
        """`longest`: how long a circuit is open at most, in seconds."""
        self._writer = writer
        # Those that came while a probe was under way wait for as long again, and the last in line for longer; other
        # replicas, and earlier processes, may have other settings.
        self._within = timedelta(seconds=2 * max(longest, _USUAL))

    def __call__(self, origin: str) -> None:
        host = origin.partition("://")[2]
        wake = WakeWaiting(
            f"{WaitingOn.CIRCUIT}:{host}",
            self._within,
            MOST_WOKEN,
            GROUP,
            timedelta(seconds=INTERVAL),
        )
        try:
            self._writer.post(wake, _log_failure)
        except Unavailable as error:
            _log_failure(0, error)


def _log_failure(_: int, error: BaseException | None) -> None:
    if error is not None:
        log.info("http.not_woken", error=str(error))
