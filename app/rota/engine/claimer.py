"""Claiming: free slots take runs from each queue in turn, so that one backlog never delays another."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.runs.model import ClaimedRun
from rota.engine.leases import Lease
from rota.errors import Unavailable
from rota.store.runs.claim import (
    Claim,
    Claimed,
    ClaimShortfall,
    held_runs,
    suspected_queues,
    waiting_queues,
)
from rota.store.runs.claim_statements import Suspects
from rota.store.runs.concurrency_keys import Promote

log = structlog.get_logger(__name__)

_AFTER_A_FAILURE = 0.5
_GATHER = 0.005
# When to look again at what another replica is claiming at this moment; its commit takes a few milliseconds.
_AFTER_A_LOCK = 0.05


@dataclass(slots=True)
class Lane:
    """Handlers that share slots: `per_queue` for each queue, `total` in all queues together (None: no limit).

    Runs that were lost with their process before, the suspects, have a lane of their own.
    """

    handlers: tuple[str, ...]
    per_queue: int
    total: int | None = None
    suspects: bool = False
    taken: Counter[str] = field(default_factory=Counter)

    def free(self, queue: str) -> int:
        """Return how many more runs of `queue` can start now."""
        free = self.per_queue - self.taken[queue]
        return free if self.total is None else min(free, self.total - self.taken.total())

    def release(self, queue: str) -> None:
        """Give a slot back."""
        self.taken[queue] -= 1
        if not self.taken[queue]:
            del self.taken[queue]


class Claimer:
    """Runs on the engine's loop. `begin` gets what was claimed; `give_back` what was claimed without our knowing."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        lease: Lease,
        lanes: Sequence[Lane],
        begin: Callable[[Sequence[ClaimedRun]], None],
        give_back: Callable[[ClaimedRun], bool],
    ) -> None:
        self._database = database
        self._writer = writer
        self._lease = lease
        self._lanes = [lane for lane in lanes if lane.handlers]
        self._lane_of = {
            (name, lane.suspects): lane for lane in self._lanes for name in lane.handlers
        }
        # Queues that had suspects at the last look.
        self._suspected: frozenset[str] = frozenset()
        self._begin = begin
        self._give_back = give_back
        self._bell = asyncio.Event()
        # Whether a claim may have started runs that were never begun here: its commit was not answered.
        self._in_doubt = False
        # Whether a queue had more than there were free slots, and whether many have become free since.
        self._backlog = False
        self._plenty = asyncio.Event()
        # Queues that may have something to claim; a dict keeps the turn.
        self._maybe: dict[str, None] = {}
        # Queues that had as many running as they may, and how many runs have ended here: their end makes room.
        self._full: set[str] = set()
        self._ended = 0
        # Concurrency keys that may have room, and were in other hands when that was looked at.
        self._freed: set[str] = set()

    def wake(self, queues: Iterable[str]) -> None:
        """Look into these queues."""
        self._maybe.update(dict.fromkeys(queues))
        self._bell.set()

    def release(self, run: ClaimedRun) -> None:
        """Give back the slot of a run whose handler has ended."""
        lane, queue = self._lane(run), run.queue
        lane.release(queue)
        if lane.free(queue) * 2 >= lane.per_queue:
            self._plenty.set()
        if self._maybe:
            self._bell.set()

    def _lane(self, run: ClaimedRun) -> Lane:
        return self._lane_of[run.handler, run.lost_count > 0]

    def ended(self, queue: str) -> None:
        """Look into a queue again that had as many running as it may: a run of it has ended."""
        self._ended += 1
        if queue in self._full:
            self._full.remove(queue)
            self.wake((queue,))

    def promote_soon(self, keys: Iterable[str]) -> None:
        """Let runs that wait for these concurrency keys go on, a moment later."""
        asyncio.get_running_loop().call_later(_AFTER_A_LOCK, self._promote, tuple(keys))

    def _promote(self, keys: Iterable[str]) -> None:
        self._freed.update(keys)
        self._bell.set()

    async def discover(self) -> None:
        """Look for queues that have something: what other processes queued, or woke nobody."""
        waiting, suspected = await asyncio.to_thread(self._waiting_queues)
        self._suspected = frozenset(suspected)
        self.wake(waiting)

    async def run(self) -> None:
        """Claim until cancelled."""
        while True:
            await self._bell.wait()
            if self._backlog:
                await self._gather_slots()
            self._bell.clear()
            try:
                await self._claim_in_turn()
            except Exception as error:
                if isinstance(error, Unavailable):
                    log.warning("claiming.unavailable", error=error.detail)
                else:
                    log.exception("claiming.failed")
                await asyncio.sleep(_AFTER_A_FAILURE)
                self._bell.set()

    async def _claim_in_turn(self) -> None:
        if self._in_doubt:
            await self._resolve_doubt()
        if self._freed:
            await self._promote_freed()
        queues = list(self._maybe) if self._lease.trusted else ()
        filled = [queue for queue in queues if await self._claim_from(queue)]
        for queue in filled:  # behind those that found the slots of a shared lane taken
            self._maybe.pop(queue, None)
            self._maybe[queue] = None
        self._backlog = bool(self._maybe)
        if filled:
            self._bell.set()

    async def _promote_freed(self) -> None:
        keys, self._freed = tuple(sorted(self._freed)), set()
        try:
            await self._writer.run(Promote(keys))
        except Unavailable:
            self._freed.update(keys)
            raise

    async def _gather_slots(self) -> None:
        """In a backlog slots come back one by one, and a claim for many costs hardly more than a claim for one."""
        # Not `wait_for`: that of Python 3.11 forgets a cancellation that comes together with the slots.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GATHER):
                await self._plenty.wait()
        self._plenty.clear()

    async def _claim_from(self, queue: str) -> bool:
        """Claim once from a queue for each lane; return whether there may be more to claim right now."""
        more = False
        # Forgotten first: a wake-up that comes while the claim is under way must not be lost.
        self._maybe.pop(queue, None)
        self._full.discard(queue)
        for lane in self._lanes:
            if lane.suspects and queue not in self._suspected:
                continue
            free = lane.free(queue)
            if free <= 0:
                self._maybe[queue] = None  # looked into again when a slot is given back
                continue
            ended = self._ended
            claimed = await self._claim(lane, queue, free)
            left = ClaimShortfall.MORE if len(claimed.runs) == free else claimed.shortfall
            if left is ClaimShortfall.FULL and ended != self._ended:
                left = ClaimShortfall.MORE  # one that was counted has ended since
            more = self._note(queue, left) or more
        return more

    def _note(self, queue: str, left: ClaimShortfall) -> bool:
        """See to it that a queue is looked into again when there may be something; return whether that is now."""
        match left:
            case ClaimShortfall.MORE:
                self._maybe[queue] = None
            case ClaimShortfall.FULL:
                self._full.add(queue)
            case ClaimShortfall.LOCKED:
                asyncio.get_running_loop().call_later(_AFTER_A_LOCK, self.wake, (queue,))
            case ClaimShortfall.NOTHING:
                pass
        return left is ClaimShortfall.MORE

    async def _claim(self, lane: Lane, queue: str, limit: int) -> Claimed:
        # The slots are taken before the claim, which other tasks of this loop may overtake.
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
            self._maybe[queue] = None
            raise
        finally:
            lane.taken[queue] -= limit - len(claimed.runs)
            if not lane.taken[queue]:
                del lane.taken[queue]
        if claimed.runs:
            self._begin(claimed.runs)
        return claimed

    async def settle(self) -> None:
        """Give back what a claim started that was under way when `run` was cancelled; call it before a drain."""
        if self._in_doubt:
            # A further write of ours is answered after the claim has been committed or refused.
            await self._lease.renew()
            await self._resolve_doubt()

    async def _resolve_doubt(self) -> None:
        """Give back what is held under our name and was never begun; only this task claims, so nothing is in flight."""
        for run in await asyncio.to_thread(self._held_runs):
            self._lane(run).taken[run.queue] += 1
            if not self._give_back(run):
                self.release(run)
        self._in_doubt = False

    def _held_runs(self) -> list[ClaimedRun]:
        with self._database.read() as connection:
            return held_runs(connection, self._lease.holder)

    def _waiting_queues(self) -> tuple[list[str], list[str]]:
        with self._database.read() as connection:
            return waiting_queues(connection), suspected_queues(connection)
