"""Log lines about the ends of attempts."""

import asyncio
from datetime import datetime
from typing import Protocol

import structlog

from rota.clock import Clock
from rota.domain.primitives.ids import Id
from rota.domain.primitives.throttling import LineThrottle
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.settlement import Settlement
from rota.domain.runs.status import RunStatus

log = structlog.get_logger(__name__)


class Named(Protocol):
    """An attempt as log lines show it: one that this process executed, or one outside."""

    @property
    def id(self) -> Id: ...
    @property
    def task(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def chain_id(self) -> Id | None: ...
    @property
    def handler(self) -> str: ...


class EndLog:
    """Logs how attempts end: failures one by one, successes summed up while there are many. Belongs to one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._successes = LineThrottle()
        self._timer: asyncio.TimerHandle | None = None

    def ended(self, run: Named, settlement: Settlement, seconds: float) -> None:
        """Log the committed end of an attempt that took `seconds`."""
        if settlement.error is not None:
            self._log_failure(run, settlement)
        elif settlement.status is RunStatus.SUCCEEDED:
            self._succeeded(run, seconds)
        else:
            write = log.info if settlement.status.final else log.debug
            write("attempt.ended", outcome=settlement.outcome, **names(run))

    def flush(self) -> None:
        """Log the successes counted so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._log_counts()

    def _succeeded(self, run: Named, seconds: float) -> None:
        # The log level is not checked first: that takes longer than counting.
        now = self._clock.monotonic()
        if self._successes.admit(run.handler, now):
            log.info("run.succeeded", seconds=round(seconds, 3), **names(run))
        elif self._timer is None:
            self._timer = self._loop.call_later(self._successes.due_in(now), self._log_counts)

    def _log_counts(self) -> None:
        self._timer = None
        counts = self._successes.take(self._clock.monotonic())
        log.info("runs.succeeded", count=sum(counts.values()), handlers=counts)

    def _log_failure(self, run: Named, settlement: Settlement) -> None:
        write = log.warning if settlement.status is RunStatus.FAILED else log.info
        write(
            "attempt.failed",
            outcome=settlement.outcome,
            status=settlement.status,
            # Messages may quote the input: they are stored with the run, and logged at debug only.
            error=settlement.error.type if settlement.error else None,
            next_attempt_at=_next_attempt(settlement, self._clock.now()),
            **names(run),
        )
        log.debug("attempt.error", error=str(settlement.error), **names(run))


def names(run: Named) -> dict[str, str | int]:
    """Return the fields by which log lines identify the attempt of a run; `chain`, if it has followed from others."""
    found: dict[str, str | int] = {"task": run.task, "run": run.id, "attempt": run.attempt}
    return found if run.chain_id is None else {**found, "chain": run.chain_id}


def _next_attempt(settlement: Settlement, now: datetime) -> str | None:
    """Return the earliest start of the next attempt, None if there is none."""
    if settlement.status.final:
        return None
    return format_instant(settlement.not_before or now)
