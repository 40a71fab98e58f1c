"""Leasing: the claim of a worker outside. Each attempt gets a token; it lasts until its lease expires.

It is the same claim as that of a replica, under the same limits, but for runs of declared handlers only: what a replica
executes (`http`, whose target may hold credentials, and Python handlers) is never handed out, and no secret input.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, func, select, update

from rota.db.bulk import Bulk
from rota.db.command import Command, StaleError, Transaction
from rota.db.tables import handler, queue, run, task
from rota.db.types import is_one_of
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.effects import DueSooner
from rota.domain.primitives.ids import Id
from rota.domain.primitives.texts.sealed import PREFIX
from rota.store.definitions import read_definition
from rota.store.replicas import OUTSIDE, database_time
from rota.store.runs.claiming.claim_statements import CLAIMED, READY, Taker
from rota.store.runs.claiming.starting import ClaimShortfall, Starting
from rota.store.runs.claiming.tokens import OutsideAttempt, hash_of, issue_tokens, new_token
from rota.store.task_names import of_covered_task

# Inputs may have a megabyte each: after so many bytes, a lease hands out no more. It starts so many runs at a time.
MOST_BYTES = 4_194_304
_AT_A_TIME = 10
# How often it continues behind many runs that keys or holds hold back.
_ASIDES = 10
_PLACE = {column.name: place for place, column in enumerate(CLAIMED)}
_HAND_OUT = Bulk(
    update(run)
    .where(
        run.c.id == bindparam("g_id"),
        run.c.lease_token_hash
        == bindparam("g_lease_token_hash", type_=run.c.lease_token_hash.type),
    )
    .values(
        lease_token_hash=bindparam("n_lease_token_hash"),
        lease_expires_at=bindparam("n_lease_expires_at"),
    ),
    apart=True,
)
_TASKS = select(task.c.id, task.c.definition, task.c.kv_revision).where(
    is_one_of(task.c.id, "g_ids")
)


@dataclass(frozen=True, slots=True)
class Leased:
    """An attempt that a worker holds by its token, until its lease expires."""

    run_id: Id
    handler: str
    attempt: int
    token: str = field(repr=False)
    token_hash: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeasedStart(Starting):
    """Starts runs that are held by the hash of one token."""

    token_hash: str
    expires_at: datetime
    tasks: NameLimit

    def taker(self) -> Taker:
        return Taker(is_declared, ("lease_token_hash", "lease_expires_at"))

    def marks(self, tx: Transaction) -> dict[str, Any]:  # noqa: ARG002
        return {"lease_token_hash": self.token_hash, "lease_expires_at": self.expires_at}

    def guards(self) -> tuple[Any, ...]:
        if self.tasks.is_unlimited:
            return (has_plain_input,)
        return (has_plain_input, OfCoveredTask(self.tasks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease(Command[list[Leased]]):
    """Start up to `limit` of the best queued runs of a queue for a worker, for `seconds` or the timeout of the task."""

    queue: str
    handlers: tuple[str, ...]
    limit: int
    seconds: timedelta
    #: The tasks whose runs the worker may have.
    tasks: NameLimit = UNLIMITED

    batched = True

    def apply(self, tx: Transaction) -> list[Leased]:
        now = database_time(tx)
        start = _LeasedStart(
            queue=self.queue,
            handlers=self.handlers,
            limit=self.limit,
            token_hash=hash_of(new_token()),  # a placeholder, until each run has its own
            expires_at=now + self.seconds,
            tasks=self.tasks,
        )
        rows = _start(tx, start)
        return _handed_out(tx, rows, start, now, self.seconds) if rows else []


def is_declared(is_sqlite: bool) -> ColumnElement[bool]:  # noqa: ARG001, FBT001
    """Guard: only runs of handlers that are declared for workers are leased."""
    return exists().where(handler.c.name == run.c.handler, handler.c.isolation == OUTSIDE)


def has_plain_input() -> ColumnElement[bool]:
    """Guard: a secret input never leaves the service."""
    return func.substr(run.c.input, 1, len(PREFIX)) != PREFIX


@dataclass(frozen=True, slots=True)
class OfCoveredTask:
    """Guard: a worker whose key is limited to some tasks gets only their runs. Equal ones share a statement."""

    limit: NameLimit

    def __call__(self) -> ColumnElement[bool]:
        return of_covered_task(self.limit, run.c.task_id)


def can_be_leased(
    connection: Connection, name: str, handlers: Sequence[str], tasks: NameLimit = UNLIMITED
) -> bool:
    """Return whether a lease of a queue is worth trying: a run is queued, and the queue not paused."""
    queued = exists().where(
        run.c.queue == name,
        *READY,
        run.c.handler.in_(handlers),
        of_covered_task(tasks, run.c.task_id),
    )
    paused = exists().where(queue.c.name == name, queue.c.paused)
    return bool(connection.execute(select(and_(queued, ~paused))).scalar_one())


def _start(tx: Transaction, start: _LeasedStart) -> list[Any]:
    """Start runs, a few at a time, until there are enough of them or of their bytes; return their rows, in order."""
    rows: list[Any] = []
    size = asides = 0
    while len(rows) < start.limit and size < MOST_BYTES:
        limit = min(_AT_A_TIME, start.limit - len(rows))
        some, shortfall = replace(start, limit=limit).start(tx)
        rows.extend(some)
        size += sum(len(row[_PLACE["input"]]) for row in some)
        asides += shortfall is ClaimShortfall.MORE
        if asides > _ASIDES or (len(some) < limit and shortfall is not ClaimShortfall.MORE):
            break
    return sorted(rows, key=_rank)


def _handed_out(
    tx: Transaction, rows: Sequence[Any], start: _LeasedStart, now: datetime, silence: timedelta
) -> list[Leased]:
    """Give each run a token of its own, which ends with the timeout of its task at the latest."""
    attempts = _attempts(tx.connection, rows, silence)
    tokens = issue_tokens(tx, attempts, now)
    leased = [
        Leased(
            each.run_id,
            row[_PLACE["handler"]],
            each.attempt,
            token,
            hash_of(token),
            min(start.expires_at, now + each.timeout),
        )
        for each, token, row in zip(attempts, tokens, rows, strict=True)
    ]
    changes = [
        {
            "g_id": each.run_id,
            "g_lease_token_hash": start.token_hash,
            "n_lease_token_hash": each.token_hash,
            "n_lease_expires_at": each.expires_at,
        }
        for each in leased
    ]
    if _HAND_OUT.execute(tx.connection, changes) != len(changes):
        raise StaleError("runs were taken from their lease while it was given")
    # By the clock of this process, which wakes it then to end what has expired.
    tx.effects.append(DueSooner(tx.now + (min(each.expires_at for each in leased) - now)))
    return leased


def _attempts(
    connection: Connection, rows: Sequence[Any], silence: timedelta
) -> list[OutsideAttempt]:
    ids = {row[_PLACE["task_id"]] for row in rows}
    tasks: dict[Id, tuple[str, int]] = {
        id: (definition, kv_revision)
        for id, definition, kv_revision in connection.execute(_TASKS, {"g_ids": list(ids)})
    }
    return [_attempt(row, tasks[row[_PLACE["task_id"]]], silence) for row in rows]


def _attempt(row: Any, of: tuple[str, int], silence: timedelta) -> OutsideAttempt:
    definition, kv_revision = of
    return OutsideAttempt(
        run_id=row[_PLACE["id"]],
        attempt=row[_PLACE["attempt"]],
        kv_revision=kv_revision,
        timeout=read_definition(definition).timeout,
        silence=silence,
    )


def _rank(row: Any) -> tuple[int, datetime, Id]:
    return -row[_PLACE["priority"]], row[_PLACE["scheduled_for"]], row[_PLACE["id"]]
