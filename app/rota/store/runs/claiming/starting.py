"""Starting runs of a queue: what the claims of replicas and the leases of workers outside have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rota.db.command import Transaction
from rota.domain.primitives.ids import Id
from rota.store.holds.lasting import lasting_holds
from rota.store.runs import concurrency_keys
from rota.store.runs.claiming.claim_statements import (
    Guard,
    Suspects,
    Taker,
    candidates,
    starting_best,
    starting_these,
    without_key,
)
from rota.store.runs.holding import block_held
from rota.store.runs.queues import (
    QueueLimits,
    not_held,
    queue_limits,
    running_in,
    without_holds,
)

# A claim looks at more candidates than it can start, since keys may hold some back, but not at all of them.
_SPARE = 50
_PAGE = 500
# Fewer while a hold lasts, since most of them may have to be written: other commands wait for it.
_HELD_PAGE = 200
_ROUNDS = 2


class ClaimShortfall(StrEnum):
    """Why a claim may have started fewer runs than requested."""

    NOTHING = "nothing"  # there were no more, or the queue is paused
    MORE = (
        "more"  # it put many runs aside that keys or holds hold back; others may come behind them
    )
    LOCKED = "locked"  # another replica is claiming from this queue, or with these keys
    FULL = "full"  # the queue has reached its limit of running runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """Starts up to `limit` of the best queued runs of one queue, for some handlers.

    Best: highest priority, then earliest `scheduled_for`. Nothing is started in a paused queue, of a held task, or
    beyond the limits of the queue and of the runs' concurrency keys.
    """

    queue: str
    handlers: tuple[str, ...]
    limit: int
    suspects: Suspects = Suspects.WITH

    def taker(self) -> Taker:
        """Return who starts runs."""
        raise NotImplementedError

    def marks(self, tx: Transaction) -> dict[str, Any]:
        """Return the values of the columns that say who holds the runs."""
        raise NotImplementedError

    def guards(self) -> tuple[Guard, ...]:
        """Return further conditions for runs."""
        return ()

    def start(self, tx: Transaction) -> tuple[Sequence[Any], ClaimShortfall]:
        """Start runs; return their rows (`CLAIMED`), and why there may not be more."""
        # Most queues have neither limits nor keys, and no hold lasts: one statement checks that and claims.
        rows = self._start_best(tx, self.limit, not_held)
        if rows:
            return rows, ClaimShortfall.NOTHING
        return self._claim_held(tx, queue_limits(tx.connection, self.queue, tx.now))

    def _claim_held(
        self, tx: Transaction, limits: QueueLimits
    ) -> tuple[Sequence[Any], ClaimShortfall]:
        if limits.paused:
            return (), ClaimShortfall.NOTHING
        if limits.concurrency is None:
            if not limits.is_selective:
                return (), ClaimShortfall.NOTHING
            return self._claim_selected(tx, self.limit, limits)
        if not concurrency_keys.try_lock(tx, [f"queue:{self.queue}"]):
            return (), ClaimShortfall.LOCKED
        room = min(self.limit, limits.concurrency - running_in(tx.connection, self.queue))
        if room <= 0:
            return (), ClaimShortfall.FULL
        rows, shortfall = self._claim_within(tx, room, limits)
        return rows, ClaimShortfall.FULL if len(rows) == room < self.limit else shortfall

    def _claim_within(
        self, tx: Transaction, room: int, limits: QueueLimits
    ) -> tuple[Sequence[Any], ClaimShortfall]:
        if limits.is_selective:
            return self._claim_selected(tx, room, limits)
        rows = self._start_best(tx, room, without_key, without_holds)
        return rows, ClaimShortfall.NOTHING

    def _claim_selected(
        self, tx: Transaction, most: int, limits: QueueLimits
    ) -> tuple[list[Any], ClaimShortfall]:
        """Go through the queue in its order: start what may start, block what its key or a hold holds back."""
        holds = lasting_holds(tx.connection, tx.now) if limits.holds else ()
        started: list[Any] = []
        locked: frozenset[str] = frozenset()
        taken = False
        size = most + _SPARE
        for _ in range(_ROUNDS):
            page = self._candidates(tx, locked, size)
            held = block_held(tx, [each.id for each in page], holds)
            free = [each for each in page if each.id not in held]
            found = concurrency_keys.decide(tx, free, most - len(started))
            concurrency_keys.block(tx, found.over_limit)
            locked |= found.locked
            rows = self._start_these(tx, found.startable)
            started.extend(rows)
            taken = taken or len(rows) < len(found.startable)
            if len(page) < size or len(started) >= most:
                break
            size = _HELD_PAGE if holds else _PAGE
        else:
            return started, ClaimShortfall.MORE
        missed = (locked or taken) and len(started) < most
        return started, ClaimShortfall.LOCKED if missed else ClaimShortfall.NOTHING

    def _candidates(
        self, tx: Transaction, without: frozenset[str], number: int
    ) -> list[concurrency_keys.Candidate]:
        given = {
            "g_queue": self.queue,
            "g_handlers": self.handlers,
            "g_without": list(without),
            "g_limit": number,
        }
        rows = tx.connection.execute(candidates(self.suspects, *self.guards()), given)
        return [concurrency_keys.Candidate(*row) for row in rows]

    def _start_best(self, tx: Transaction, most: int, *guards: Guard) -> Sequence[Any]:
        given = {
            "g_queue": self.queue,
            "g_handlers": self.handlers,
            "g_limit": most,
            **self._given(tx),
        }
        conditions = (*guards, *self.guards())
        starting = starting_best(tx.is_sqlite, self.taker(), self.suspects, *conditions)
        return tx.connection.execute(starting, given).all()

    def _start_these(self, tx: Transaction, ids: Sequence[Id]) -> Sequence[Any]:
        if not ids:
            return ()
        starting = starting_these(tx.is_sqlite, self.taker())
        return tx.connection.execute(starting, {"g_ids": ids, **self._given(tx)}).all()

    def _given(self, tx: Transaction) -> dict[str, Any]:
        marks = {f"g_{name}": value for name, value in self.marks(tx).items()}
        return {"g_now": tx.now, **marks}
