"""Claiming: free slots take runs from each queue in turn, so that a backlog of one queue does not delay the others."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

import structlog

from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.runs.model import ClaimedRun
from rota.engine.lanes import Lane
from rota.engine.leases import Lease
from rota.errors import Unavailable
from rota.store.runs.claiming.claim import (
    Claim,
    Claimed,
    held_runs,
    suspected_queues,
    waiting_queues,
)
from rota.store.runs.claiming.claim_statements import Suspects
from rota.store.runs.claiming.starting import ClaimShortfall
from rota.store.runs.concurrency_keys import Promote

log = structlog.get_logger(__name__)

# Seconds.
_AFTER_A_FAILURE = 0.5
_GATHER = 0.005
# When to try again what another replica is claiming at the moment; its commit takes a few milliseconds.
_AFTER_A_LOCK = 0.05


class Claimer:
    """Runs on the engine's loop."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        lease: Lease,
        lanes: Sequence[Lane],
        *,
        begin: Callable[[Sequence[ClaimedRun]], None],
        release: Callable[[ClaimedRun], bool],
    ) -> None:
        """`begin` gets claimed runs.

        `release` gets a run that is held but may never have begun; it releases it, and returns False if it has begun.
        """
        self._database = database
        self._writer = writer
        self._lease = lease
        self._lanes = [lane for lane in lanes if lane.handlers]
        self._lane_of = {
            (name, lane.suspects): lane for lane in self._lanes for name in lane.handlers
        }
        # Queues that had suspects when they were discovered.
        self._suspected: frozenset[str] = frozenset()
        self._begin = begin
        self._release = release
        self._woken = asyncio.Event()
        # Whether a claim may have started runs that were never begun here: its commit was not acknowledged.
        self._in_doubt = False
        # Whether a queue had more runs than there were free slots, and whether many slots have become free since.
        self._backlog = False
        self._plenty = asyncio.Event()
        # Queues that may have runs to claim; a dict keeps their order.
        self._candidates: dict[str, None] = {}
        # Queues that were at their limit, and how many runs have ended here: each end makes room.
        self._full: set[str] = set()
        self._ended = 0
        # Concurrency keys that may have room, and were locked by another transaction when a run of theirs ended.
        self._freed: set[str] = set()

    def wake(self, queues: Iterable[str]) -> None:
        """Claim from these queues."""
        self._candidates.update(dict.fromkeys(queues))
        self._woken.set()

    def free_slot(self, run: ClaimedRun) -> None:
        """Make the slot of a run free: its handler has ended."""
        lane, queue = self._lane(run), run.queue
        lane.release(queue)
        if lane.free(queue) * 2 >= lane.per_queue:
            self._plenty.set()
        if self._candidates:
            self._woken.set()

    def _lane(self, run: ClaimedRun) -> Lane:
        return self._lane_of[run.handler, run.lost_count > 0]

    def ended(self, queue: str) -> None:
        """Claim again from a queue that was at its limit: a run of it has ended."""
        self._ended += 1
        if queue in self._full:
            self._full.remove(queue)
            self.wake((queue,))

    def promote_soon(self, keys: Iterable[str]) -> None:
        """Unblock runs that wait for these concurrency keys, after a short delay."""
        asyncio.get_running_loop().call_later(_AFTER_A_LOCK, self._promote, tuple(keys))

    def _promote(self, keys: Iterable[str]) -> None:
        self._freed.update(keys)
        self._woken.set()

    async def discover(self) -> None:
        """Find queues with waiting runs: other processes may have queued them, or a wake-up may have been lost."""
        waiting, suspected = await asyncio.to_thread(self._waiting_queues)
        self._suspected = frozenset(suspected)
        self.wake(waiting)

    async def run(self) -> None:
        """Claim until cancelled."""
        while True:
            await self._woken.wait()
            if self._backlog:
                await self._gather_slots()
            self._woken.clear()
            try:
                await self._claim_in_turn()
            except Exception as error:
                if isinstance(error, Unavailable):
                    log.warning("claiming.unavailable", error=error.detail)
                else:
                    log.exception("claiming.failed")
                await asyncio.sleep(_AFTER_A_FAILURE)
                self._woken.set()

    async def _claim_in_turn(self) -> None:
        if self._in_doubt:
            await self._resolve_doubt()
        if self._freed:
            await self._promote_freed()
        queues = list(self._candidates) if self._lease.trusted else ()
        filled = [queue for queue in queues if await self._claim_from(queue)]
        for queue in filled:  # behind those that found the slots of a shared lane taken
            self._candidates.pop(queue, None)
            self._candidates[queue] = None
        self._backlog = bool(self._candidates)
        if filled:
            self._woken.set()

    async def _promote_freed(self) -> None:
        keys, self._freed = tuple(sorted(self._freed)), set()
        try:
            await self._writer.run(Promote(keys))
        except Unavailable:
            self._freed.update(keys)
            raise

    async def _gather_slots(self) -> None:
        """In a backlog slots become free one by one, and a claim for many costs hardly more than a claim for one."""
        # Not `wait_for`: that of Python 3.11 loses a cancellation that arrives together with the slots.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GATHER):
                await self._plenty.wait()
        self._plenty.clear()

    async def _claim_from(self, queue: str) -> bool:
        """Claim once from a queue for each lane; return whether there may be more to claim now."""
        more = False
        # Removed before the claim: a wake-up during the claim must not be lost.
        self._candidates.pop(queue, None)
        self._full.discard(queue)
        for lane in self._lanes:
            if lane.suspects and queue not in self._suspected:
                continue
            free = lane.free(queue)
            if free <= 0:
                self._candidates[queue] = None  # claimed from when a slot becomes free
                continue
            ended = self._ended
            claimed = await self._claim(lane, queue, free)
            shortfall = ClaimShortfall.MORE if len(claimed.runs) == free else claimed.shortfall
            if shortfall is ClaimShortfall.FULL and ended != self._ended:
                shortfall = ClaimShortfall.MORE  # a run that was counted has ended since
            more = self._plan_next(queue, shortfall) or more
        return more

    def _plan_next(self, queue: str, shortfall: ClaimShortfall) -> bool:
        """Ensure that a queue is claimed from again when it may have runs; return whether that is now."""
        match shortfall:
            case ClaimShortfall.MORE:
                self._candidates[queue] = None
            case ClaimShortfall.FULL:
                self._full.add(queue)
            case ClaimShortfall.LOCKED:
                asyncio.get_running_loop().call_later(_AFTER_A_LOCK, self.wake, (queue,))
            case ClaimShortfall.NOTHING:
                pass
            case _:
                assert_never(shortfall)
        return shortfall is ClaimShortfall.MORE

    async def _claim(self, lane: Lane, queue: str, limit: int) -> Claimed:
        # The slots are taken before the claim, since other tasks of this loop run while it is committed.
        lane.taken[queue] += limit
        claimed = Claimed([])
        try:
            claimed = await self._writer.run(
                Claim(
                    holder=self._lease.holder,
                    queue=queue,
                    handlers=lane.handlers,
                    limit=limit,
                    suspects=Suspects.ONLY if lane.suspects else Suspects.WITHOUT,
                )
            )
        except (Unavailable, asyncio.CancelledError):
            self._in_doubt = True
            self._candidates[queue] = None
            raise
        finally:
            lane.release(queue, limit - len(claimed.runs))
        if claimed.runs:
            self._begin(claimed.runs)
        return claimed

    async def release_unknown(self) -> None:
        """Release what an unacknowledged claim started before `run` was cancelled; call it before a drain."""
        if self._in_doubt:
            # A further write of this process is answered after the claim has been committed or refused.
            await self._lease.renew()
            await self._resolve_doubt()

    async def _resolve_doubt(self) -> None:
        """Release held runs that were never begun; only this task claims, so no claim is in progress."""
        for run in await asyncio.to_thread(self._held_runs):
            self._lane(run).taken[run.queue] += 1
            if not self._release(run):
                self.free_slot(run)
        self._in_doubt = False

    def _held_runs(self) -> list[ClaimedRun]:
        with self._database.read() as connection:
            return held_runs(connection, self._lease.holder)

    def _waiting_queues(self) -> tuple[list[str], list[str]]:
        with self._database.read() as connection:
            return waiting_queues(connection), suspected_queues(connection)
