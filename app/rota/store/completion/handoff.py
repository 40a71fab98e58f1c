"""Attempts that continue outside of Rota: how they leave the process that began them, and their heartbeats."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, case, func, update

from rota.db.command import Command, Transaction
from rota.db.tables import run
from rota.domain.effects import DueSooner
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import LogLine, Progress
from rota.errors import LeaseLost
from rota.store.completion.finish import same_attempt, same_holder, still_running
from rota.store.completion.record import Guard
from rota.store.json_columns import dump_progress
from rota.store.replicas import database_time
from rota.store.runs.cancellation import CANCEL_GRACE
from rota.store.runs.claiming.tokens import Grant, grant_of
from rota.store.runs.logs import insert_lines

_ENDED = "The attempt has ended, or another one has begun."
_EXTENDED = bindparam("n_extended", type_=run.c.lease_expires_at.type)
_IS_CANCELLED = run.c.cancel_requested_at.is_not(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff(Command[datetime]):
    """Let an attempt continue outside of Rota, held by its token; return until when, without a sign of life.

    Raises LeaseLost, and writes nothing, if the process does not hold the run any more: above all since the target has
    completed the attempt already.
    """

    run_id: Id
    attempt: int
    holder: Id
    lines: tuple[LogLine, ...] = ()
    progress: Progress | None = None

    def apply(self, tx: Transaction) -> datetime:
        grant = grant_of(tx.connection, self.run_id, self.attempt)
        if grant is None:
            raise LeaseLost(_ENDED)
        now = database_time(tx)
        given = _guarded(grant, self.progress) | {
            "g_holder": self.holder,
            "n_hash": grant.token_hash,
            "n_extended": grant.extended(now),
            "n_cancelled": min(grant.deadline_at, now + CANCEL_GRACE),
        }
        statement = _handing_off(still_running, same_attempt, same_holder)
        found = tx.connection.execute(statement, given)
        until: datetime | None = found.scalar_one_or_none()
        if until is None:
            raise LeaseLost(_ENDED)
        insert_lines(tx, [(self.run_id, self.attempt, self.lines)])
        # By the clock of this process, which is the one that wakes it.
        tx.effects.append(DueSooner(tx.now + (until - now)))
        return until


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a heartbeat: until when the attempt continues without another, and whether it is to end."""

    lease_expires_at: datetime
    cancel_requested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Command[Beat]):
    """Extend an attempt, and store its progress. Raises LeaseLost, and writes nothing, if it has ended.

    An attempt that is requested to end is not extended.
    """

    grant: Grant
    progress: Progress | None = None

    def apply(self, tx: Transaction) -> Beat:
        extended = self.grant.extended(database_time(tx))
        given = _guarded(self.grant, self.progress) | {"n_extended": extended}
        statement = _extending(still_running, same_attempt)
        row = tx.connection.execute(statement, given).one_or_none()
        if row is None:
            raise LeaseLost(_ENDED)
        return Beat(row.lease_expires_at, row.cancel_requested_at is not None)


def _guarded(grant: Grant, progress: Progress | None) -> dict[str, Any]:
    shown = dump_progress(progress)
    return {"g_id": grant.run_id, "g_attempt": grant.attempt, "n_progress": shown}


_PROGRESS = func.coalesce(bindparam("n_progress", type_=run.c.progress.type), run.c.progress)
_THIS = run.c.id == bindparam("g_id", type_=run.c.id.type)


@lru_cache
def _handing_off(*guards: Guard) -> Any:
    """Return the statement that has the token hold a run instead of its process."""
    cancelled = bindparam("n_cancelled", type_=run.c.lease_expires_at.type)
    return (
        update(run)
        .where(_THIS, *(guard() for guard in guards))
        .values(
            holder=None,
            lease_token_hash=bindparam("n_hash", type_=run.c.lease_token_hash.type),
            lease_expires_at=case((_IS_CANCELLED, cancelled), else_=_EXTENDED),
            progress=_PROGRESS,
        )
        .returning(run.c.lease_expires_at)
    )


@lru_cache
def _extending(*guards: Guard) -> Any:
    """Return the statement that extends an attempt, unless it is requested to end."""
    kept = func.coalesce(run.c.lease_expires_at, _EXTENDED)
    return (
        update(run)
        .where(_THIS, *(guard() for guard in guards))
        .values(lease_expires_at=case((_IS_CANCELLED, kept), else_=_EXTENDED), progress=_PROGRESS)
        .returning(run.c.lease_expires_at, run.c.cancel_requested_at)
    )
