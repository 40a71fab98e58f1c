"""The lease of this process: renewed by the database's clock, trusted only within a monotonic window."""

import asyncio
import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from rota.clock import Clock
from rota.db.writer import Writer
from rota.domain.primitives.ids import Id, random_id
from rota.errors import Unavailable
from rota.store.replicas import Enlist, Renew, Retire

log = structlog.get_logger(__name__)

_RENEWALS_PER_TTL = 3
# The fraction of the TTL that is not relied on: clocks drift, and a claim takes time to commit.
_MARGIN = 0.2
# The largest regular interval between two renewals by the database's clock, as a fraction of the TTL (1/3 is usual).
_MOST_BETWEEN = 0.5
# Seconds.
_AFTER_A_FAILURE = 1.0


class Lease:
    """The row that shows that this process is alive. Its id is new at each start, and after each loss."""

    def __init__(
        self,
        writer: Writer,
        clock: Clock,
        *,
        ttl: float,
        handlers: tuple[str, ...],
        on_lost: Callable[[], None],
    ) -> None:
        self.holder: Id = random_id()
        self._writer = writer
        self._clock = clock
        self._ttl = ttl
        self._handlers = handlers
        self._on_lost = on_lost
        self._trusted_until = 0.0
        # When it was renewed last (by the database's clock), and from when on others may be treated as expired
        # (monotonic).
        self._renewed_at: datetime | None = None
        self._judges_from = 0.0
        # Two concurrent renewals would each take a new lease when the lease is lost.
        self._renewing = asyncio.Lock()

    @property
    def trusted(self) -> bool:
        """Whether the lease can be relied on without a query."""
        return self._clock.monotonic() < self._trusted_until

    @property
    def judges(self) -> bool:
        """Whether this process may treat the leases of other replicas as expired.

        Not for one TTL after it was silent itself, or after the database's clock was set forward: replicas that were
        silent with it (suspended together, or cut off from the same database) get the time to renew.
        """
        return self.trusted and self._clock.monotonic() >= self._judges_from

    async def enlist(self) -> None:
        """Take a lease with a new id; raises Unavailable."""
        requested_at = self._clock.monotonic()
        self.holder = random_id()
        at = await self._writer.run(
            Enlist(
                id=self.holder,
                host=socket.gethostname(),
                pid=os.getpid(),
                handlers=self._handlers,
                ttl=timedelta(seconds=self._ttl),
            )
        )
        self._renewed(requested_at, at)

    async def keep(self) -> None:
        """Renew the lease until cancelled; take a new one when it is lost."""
        while True:
            wait = await self.renew()
            await asyncio.sleep(wait)

    async def retire(self) -> None:
        """End the lease, so that other replicas can take over its runs at once. Raises Unavailable."""
        self._trusted_until = 0.0
        await self._writer.run(Retire(self.holder))

    async def renew(self) -> float:
        """Renew once, or take a new lease if it is lost; return the seconds until the next renewal."""
        async with self._renewing:
            try:
                await self._renew()
            except Unavailable as error:
                log.warning("lease.not_renewed", error=error.detail)
                return _AFTER_A_FAILURE
            except Exception:
                # Any error: without this loop the process would never claim again, and no caller would notice.
                log.exception("lease.not_renewed")
                return _AFTER_A_FAILURE
        return self._ttl / _RENEWALS_PER_TTL

    async def _renew(self) -> None:
        requested_at = self._clock.monotonic()
        at = await self._writer.run(Renew(self.holder, timedelta(seconds=self._ttl)))
        if at is not None:
            self._renewed(requested_at, at)
            return
        log.error("lease.lost", holder=self.holder)
        self._trusted_until = 0.0
        self._on_lost()
        await self.enlist()

    def _renewed(self, requested_at: float, at: datetime) -> None:
        passed = timedelta(0) if self._renewed_at is None else at - self._renewed_at
        if not timedelta(0) <= passed <= timedelta(seconds=self._ttl * _MOST_BETWEEN):
            self._judges_from = requested_at + self._ttl
        self._renewed_at = at
        self._trusted_until = requested_at + self._ttl * (1 - _MARGIN)
