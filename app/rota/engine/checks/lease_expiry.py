"""Expiry of the leases of attempts outside of Rota, except for times in which no heartbeat could be received."""

from collections.abc import Callable
from datetime import timedelta

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.primitives.ids import Id, random_id
from rota.engine.timing.clock_steps import ClockSteps
from rota.errors import Locked
from rota.store.completion.expiry import (
    ExpireLeases,
    ForgiveSilence,
    MoveLeases,
    next_expiry,
    overdue,
)
from rota.store.replicas import LONGEST_TTL

log = structlog.get_logger(__name__)

# A look that is later than expected by more than this (seconds): no heartbeat could be received meanwhile.
_LATE = 1.0


class LeaseExpiry:
    """Belongs to the firing thread, which looks at least every `interval` seconds, and when a lease has expired.

    A look that comes late means that the process, or the database, stood still: heartbeats were not accepted. Then the
    silence begins anew before anything is ended. A clock that was set takes the leases with it that go by it.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        clock: Clock,
        steps: ClockSteps | None = None,
        *,
        interval: float = 1.0,
        ttl: timedelta = LONGEST_TTL,
        holder: Callable[[], Id] = random_id,
    ) -> None:
        """`holder` returns the id of this replica, `ttl` is that of its lease."""
        self._database = database
        self._writer = writer
        self._clock = clock
        self._steps = steps or ClockSteps(clock)
        self._interval = interval
        self._ttl = ttl
        self._holder = holder
        self._moved = self._steps.moved
        # When it looked at the clock, and by when it looks again (monotonic).
        self._looked_at = clock.monotonic()
        self._expected_by = self._looked_at + interval

    def next_in(self) -> timedelta | None:
        """Return in how long the next lease expires, 0 or less if one has; None if there is none."""
        with self._database.read() as connection:
            expires_in = next_expiry(connection, self._clock.now())
        ahead = self._interval
        if expires_in is not None and expires_in > timedelta(0):  # else one is locked
            ahead = min(ahead, expires_in.total_seconds())
        self._expected_by = self._clock.monotonic() + ahead
        return expires_in

    def expire(self, limit: int) -> bool:
        """End up to `limit` attempts whose lease has expired; return whether there may be more to end now."""
        self._make_up_for_silence()
        expires_in = self.next_in()
        if expires_in is None or expires_in > timedelta(0):
            return False
        try:
            expired = self._writer.call(ExpireLeases(limit))
        except Locked:  # a run that is started by the end of another one
            return self._expire_singly(limit)
        _log_expired(expired)
        return expired == limit

    def forgive(self) -> None:
        """Restart the heartbeat timeouts that ran while no heartbeat could be received."""
        forgiven = self._writer.call(ForgiveSilence(self._holder(), self._ttl))
        if forgiven:
            log.info("silence.forgiven", attempts=forgiven)

    def _make_up_for_silence(self) -> None:
        """Exclude from leases the time in which no heartbeat could be received, and steps of the clock."""
        late = self._clock.monotonic() - self._expected_by > _LATE
        moved = self._steps.moved
        by = moved - self._moved
        now = self._clock.monotonic()
        if by and self._database.is_sqlite:
            since = timedelta(seconds=now - self._looked_at)
            count = self._writer.call(MoveLeases(timedelta(seconds=by), since))
            if count:
                log.info("leases.moved", attempts=count, seconds=round(by, 3))
        self._moved, self._looked_at = moved, now
        # A machine that was suspended: its monotonic clock stood still with it.
        if late or (by > 0 and not self._database.is_sqlite):
            self.forgive()

    def _expire_singly(self, limit: int) -> bool:
        """End attempts each by itself, so that a lock holds up only those that need the locked row."""
        with self._database.read() as connection:
            ids = overdue(connection, self._clock.now(), limit)
        requests = self._writer.call_all([ExpireLeases(1, only=id) for id in ids])
        ended = [request for request in requests if not isinstance(request.exception(), Locked)]
        _log_expired(sum(request.result() for request in ended))
        return False


def _log_expired(count: int) -> None:
    if count:
        log.info("attempts.expired", attempts=count)
