"""Concurrency keys limit how many runs with the same key run at once, across tasks, queues and replicas.

A claim starts what may start and blocks the rest (`waiting_on`: `concurrency`), so that it holds up no other runs. When
runs with a key have ended, the best of those that wait are queued again, as many as there is room for in each queue,
and the next claim decides again. Each run has the limit in its own row.

On PostgreSQL a claim holds its keys exclusively until its commit, by advisory locks of its transaction. A lock is tried
and never waited for: a transaction of the writer also ends runs, so it holds row locks that others wait for, and to
wait for a key with these could deadlock. What needs a key that is locked is tried again shortly afterwards.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Text, and_, bindparam, func, literal_column, select, text, update

from rota.db.command import Command, Transaction
from rota.db.tables import run
from rota.db.types import is_one_of, spelled_out
from rota.domain.effects import KeysFreed
from rota.domain.policies import Concurrency
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.reasons import WaitingOn
from rota.domain.runs.status import RunStatus
from rota.store.replicas import known_handlers
from rota.store.runs.waiting import blocked, unblock

WAITING_ON_CONCURRENCY = json_text.dumps([WaitingOn.CONCURRENCY])
# How many runs of one key and queue are unblocked at once; if there is room for all of them, the rest follows shortly.
MOST_PROMOTED = 100

_WAITS = (
    run.c.status == spelled_out(RunStatus.BLOCKED),
    # In the SQL itself, as in `ix_run_key_blocked`.
    run.c.waiting_on == literal_column(f"'{WAITING_ON_CONCURRENCY}'", Text),
)
_BLOCKED = f"run.status = 'blocked' AND run.waiting_on = '{WAITING_ON_CONCURRENCY}'"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queued run that could be started next; `key` None: it has no limit of its own."""

    id: Id
    key: str | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class ClaimDecision:
    """Which candidates a claim starts or blocks. `locked`: keys locked by another replica, whose runs stay queued."""

    startable: list[Id]
    over_limit: list[Id]
    locked: frozenset[str]


@dataclass(frozen=True, slots=True)
class Promote(Command[int]):
    """Queue again the runs that wait for these keys, if there is room; return how many.

    `stalled_only` is for the sweep: only where no run of a key is queued, whose end would unblock the next one.
    """

    keys: tuple[str, ...]
    stalled_only: bool = False

    def apply(self, tx: Transaction) -> int:
        return promote(tx, self.keys, stalled_only=self.stalled_only)


def decide(tx: Transaction, candidates: Sequence[Candidate], most: int) -> ClaimDecision:
    """Decide which of the candidates, in their order, may start: up to `most`, each within its own limit."""
    keys = {each.key for each in candidates if each.key is not None}
    mine = try_lock(tx, keys)
    running = running_with(tx.connection, mine)
    done = ClaimDecision([], [], frozenset(keys - mine))
    for each in candidates:
        if len(done.startable) == most:
            break
        if each.key in done.locked:
            continue
        if each.key is None or each.limit is None:
            done.startable.append(each.id)
        elif running[each.key] < each.limit:
            running[each.key] += 1
            done.startable.append(each.id)
        else:
            done.over_limit.append(each.id)
    return done


def block(tx: Transaction, ids: Sequence[Id]) -> None:
    """Block queued runs until there is room for their key, except those that another replica has locked."""
    if ids:
        tx.connection.execute(_BLOCK, {"g_ids": ids})


# Nothing of `not_before`: a planner without statistics would go through all of `ix_run_claim` for these few ids.
_QUEUED = run.c.status == spelled_out(RunStatus.QUEUED)
_FREE = (
    select(run.c.id)
    .where(is_one_of(run.c.id, "g_ids"), _QUEUED)
    .with_for_update(skip_locked=True)
    .cte("free")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_BLOCK = (
    update(run)
    .where(run.c.id.in_(select(_FREE.c.id)), _QUEUED)
    .values(blocked(WAITING_ON_CONCURRENCY))
)


def promote(tx: Transaction, keys: Collection[str], *, stalled_only: bool = False) -> int:
    """Queue again the best runs that wait for these keys, as many as there is room for; return how many.

    Must be called in every transaction in which runs with these keys leave `running`.
    """
    if not keys:
        return 0
    # Shared: others may end runs with the key meanwhile, but none may count one as running that has ended here.
    mine = try_lock(tx, keys, shared=True)
    _again_soon(tx, set(keys) - mine)
    lanes = [lane for lane in _lanes(tx, mine) if not (stalled_only and lane.moving)]
    if not lanes:
        return 0
    running = running_with(tx.connection, {lane.key for lane in lanes})
    known = known_handlers(tx.connection)
    ids = [id for lane in lanes for id in _best(tx, lane, running[lane.key], known)]
    return unblock(tx, run.c.id.in_(ids)) if ids else 0


def change_concurrency(tx: Transaction, task_id: Id, concurrency: Concurrency | None) -> None:
    """Set the key and limit of a task's new definition on its waiting runs; running ones keep theirs."""
    unfinished = and_(run.c.task_id == task_id, run.c.finished_at.is_(None))
    changed = {
        "concurrency_key": None if concurrency is None else concurrency.key,
        "concurrency_limit": None if concurrency is None else concurrency.limit,
    }
    waiting = and_(unfinished, run.c.status != RunStatus.RUNNING)
    tx.connection.execute(update(run).where(waiting).values(changed))
    unblock(tx, and_(unfinished, run.c.waiting_on == WAITING_ON_CONCURRENCY))


def waiting_keys(connection: Connection) -> list[str]:
    """Return the keys that runs wait for, in order; one look into the index for each, however many runs wait."""
    return list(connection.execute(_KEYS).scalars())


_RUNNING = (
    select(run.c.concurrency_key, func.count())
    .where(run.c.status == spelled_out(RunStatus.RUNNING), run.c.concurrency_key.is_not(None))
    .where(is_one_of(run.c.concurrency_key, "g_keys"))
    .group_by(run.c.concurrency_key)
)


def running_with(connection: Connection, keys: Collection[str]) -> Counter[str]:
    """Return how many runs with these keys are running."""
    if not keys:
        return Counter()
    rows = connection.execute(_RUNNING, {"g_keys": list(keys)})
    return Counter({row[0]: row[1] for row in rows})


_LOCK = text("""
    SELECT name FROM unnest(CAST(:names AS text[])) AS name
    WHERE pg_try_advisory_xact_lock(hashtextextended('rota:' || name, 0))
""")
_LOCK_SHARED = text("""
    SELECT name FROM unnest(CAST(:names AS text[])) AS name
    WHERE pg_try_advisory_xact_lock_shared(hashtextextended('rota:' || name, 0))
""")


def try_lock(tx: Transaction, names: Collection[str], *, shared: bool = False) -> set[str]:
    """Try to lock names until the end of the transaction; return the locked ones. SQLite has one writer anyway."""
    if tx.is_sqlite or not names:
        return set(names)
    locked = tx.connection.execute(_LOCK_SHARED if shared else _LOCK, {"names": sorted(names)})
    return set(locked.scalars())


def _again_soon(tx: Transaction, keys: Collection[str]) -> None:
    if keys:
        tx.effects.append(KeysFreed(tuple(sorted(keys))))


_BEST = (
    select(run.c.id, run.c.concurrency_limit, run.c.handler)
    .where(*_WAITS)
    .where(run.c.concurrency_key == bindparam("g_key"), run.c.queue == bindparam("g_queue"))
    .order_by(run.c.priority.desc(), run.c.scheduled_for, run.c.id)
    .limit(MOST_PROMOTED)
)


def _best(tx: Transaction, lane: Any, running: int, known: Collection[str]) -> list[Id]:
    """Return the best runs of a key in a queue that there is room for."""
    rows = tx.connection.execute(_BEST, {"g_key": lane.key, "g_queue": lane.queue}).all()
    could = [row for row in rows if row.concurrency_limit > running]
    room = 0
    for row in could:
        # One with an unknown handler is only blocked for that reason instead.
        takes_slot = row.handler in known
        if takes_slot and running >= row.concurrency_limit:
            break
        running += takes_slot
        room += 1
    if room == MOST_PROMOTED:
        _again_soon(tx, [lane.key])
    return _lock_rows(tx, [row.id for row in could], room)


def _lock_rows(tx: Transaction, ids: Sequence[Id], most: int) -> list[Id]:
    """Return the first `most` of waiting runs that no other replica is unblocking."""
    if tx.is_sqlite or not ids:
        return list(ids[:most])
    free = (
        select(run.c.id)
        .where(*_WAITS, run.c.id.in_(ids))
        .order_by(run.c.priority.desc(), run.c.scheduled_for, run.c.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return list(tx.connection.execute(free).scalars())


# Loose index scans: one look into the index for each queue in which runs wait for a key, and for each key.
def _lanes_of(keys: str) -> Any:
    # Made of constants only.
    return text(f"""
        WITH RECURSIVE lane(key, queue) AS (
            SELECT wanted.key, (SELECT min(run.queue) FROM run WHERE {_BLOCKED} AND run.concurrency_key = wanted.key)
            FROM ({keys}) AS wanted
            UNION ALL
            SELECT lane.key, (SELECT min(run.queue) FROM run
                              WHERE {_BLOCKED} AND run.concurrency_key = lane.key AND run.queue > lane.queue)
            FROM lane WHERE lane.queue IS NOT NULL
        )
        SELECT lane.key, lane.queue, EXISTS (
            SELECT 1 FROM run
            WHERE run.status = 'queued' AND run.not_before IS NULL
                AND run.queue = lane.queue AND run.concurrency_key = lane.key
        ) AS moving
        FROM lane WHERE lane.queue IS NOT NULL
        ORDER BY lane.key, lane.queue
    """)  # noqa: S608


_SQLITE_LANES = _lanes_of("SELECT value AS key FROM json_each(:keys)")
_POSTGRES_LANES = _lanes_of(
    'SELECT value COLLATE "C" AS key FROM json_array_elements_text(CAST(:keys AS json))'
)
_KEYS = text(f"""
    WITH RECURSIVE waiting(key) AS (
        SELECT (SELECT min(run.concurrency_key) FROM run WHERE {_BLOCKED})
        UNION ALL
        SELECT (SELECT min(run.concurrency_key) FROM run WHERE {_BLOCKED} AND run.concurrency_key > waiting.key)
        FROM waiting WHERE waiting.key IS NOT NULL
    )
    SELECT key FROM waiting WHERE key IS NOT NULL
""")  # noqa: S608


def _lanes(tx: Transaction, keys: Collection[str]) -> Sequence[Any]:
    """Return the queues in which runs wait for these keys, and whether one with the key is queued there."""
    if not keys:
        return []
    lanes = _SQLITE_LANES if tx.is_sqlite else _POSTGRES_LANES
    return tx.connection.execute(lanes, {"keys": json_text.dumps(sorted(keys))}).all()
