"""Tokens of attempts: who has one may complete its attempt, and report that it continues; nothing else.

A token is for one attempt of one run. It is stored as its hash, in the commit that starts the attempt, so that a target
can answer before its own response to the request has arrived. It is kept as long as the run, to
distinguish a late answer from an unauthorized one. That of a postponed attempt, which made no call, is removed.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.tables import attempt_token, run, task
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun
from rota.store.replicas import database_time

_TOKEN_BYTES = 32
#: So many characters a token has.
TOKEN_LENGTH = 43
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideAttempt:
    """An attempt that may continue outside of Rota.

    `timeout` is its hard limit, from now on, and `silence` how long it may go without a heartbeat (None: until then).
    """

    run_id: Id
    attempt: int
    kv_revision: int
    timeout: timedelta
    silence: timedelta | None


@dataclass(frozen=True, slots=True)
class Grant:
    """What the owner of a token may complete: this attempt, as it was started."""

    run_id: Id
    attempt: int
    token_hash: str
    kv_revision: int
    deadline_at: datetime
    silence_ms: int | None

    def extended(self, now: datetime) -> datetime:
        """Return until when the attempt continues after a sign of life at `now`, by the clock of leases."""
        if self.silence_ms is None:
            return self.deadline_at
        return min(self.deadline_at, now + self.silence_ms * _MILLISECOND)


def new_token() -> str:
    """Return a new token: 256 random bits, as text that fits into a header."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_of(token: str) -> str:
    """Return the hash of a token, which is what is stored of it. A token cannot be guessed, so it needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def issue_tokens(tx: Transaction, attempts: Sequence[OutsideAttempt], now: datetime) -> list[str]:
    """Store a new token for each of these attempts, which this transaction starts; return the tokens, in order.

    `now`: by the clock of leases, the one that the leases of these attempts are counted from as well.
    """
    if not attempts:
        return []
    tokens = [new_token() for _ in attempts]
    rows = [_row(each, token, now) for each, token in zip(attempts, tokens, strict=True)]
    tx.connection.execute(insert(attempt_token), rows)
    return tokens


def with_tokens(tx: Transaction, claimed: list[ClaimedRun]) -> list[ClaimedRun]:
    """Give tokens to those that their targets may complete later: before the targets are called."""
    later = [each for each in claimed if each.definition.completes_later]
    if not later:
        return claimed
    tokens = dict(
        zip(
            (each.id for each in later),
            issue_tokens(tx, [_outside(each) for each in later], database_time(tx)),
            strict=True,
        )
    )
    return [replace(each, token=tokens[each.id]) if each.id in tokens else each for each in claimed]


def _outside(claimed: ClaimedRun) -> OutsideAttempt:
    definition = claimed.definition
    return OutsideAttempt(
        run_id=claimed.id,
        attempt=claimed.attempt,
        kv_revision=claimed.kv_revision,
        timeout=definition.timeout,
        silence=definition.heartbeat_timeout,
    )


def _row(of: OutsideAttempt, token: str, now: datetime) -> dict[str, Any]:
    return {
        "run_id": of.run_id,
        "attempt": of.attempt,
        "token_hash": hash_of(token),
        "kv_revision": of.kv_revision,
        "deadline_at": now + of.timeout,
        "silence_ms": None if of.silence is None else of.silence // _MILLISECOND,
    }


_GRANT = select(*(attempt_token.c[name] for name in Grant.__annotations__))
_OF_ATTEMPT = _GRANT.where(
    attempt_token.c.run_id == bindparam("g_run"), attempt_token.c.attempt == bindparam("g_attempt")
)
_FORGET = Bulk(
    delete(attempt_token).where(
        attempt_token.c.run_id == bindparam("g_run"),
        attempt_token.c.attempt == bindparam("g_attempt"),
    )
)
# By its hash, so that an attempt more costs nothing: what is compared is no secret, nor can it be approached.
_OF_TOKEN = (
    _GRANT.join(run, run.c.id == attempt_token.c.run_id)
    .join(task, task.c.id == run.c.task_id)
    .where(
        attempt_token.c.run_id == bindparam("g_run"),
        attempt_token.c.token_hash == bindparam("g_hash"),
        task.c.deleted_at.is_(None),
    )
)


def forget_tokens(tx: Transaction, attempts: Sequence[tuple[Id, int]]) -> None:
    """Remove the tokens of attempts that end in this transaction, of those that have one: none was sent."""
    rows = [{"g_run": run_id, "g_attempt": number} for run_id, number in attempts]
    _FORGET.execute(tx.connection, rows)


def grant_of(connection: Connection, run_id: Id, attempt: int) -> Grant | None:
    """Return the grant of an attempt; None if it has no token."""
    row = connection.execute(_OF_ATTEMPT, {"g_run": run_id, "g_attempt": attempt}).one_or_none()
    return None if row is None else Grant(*row)


def find_grant(connection: Connection, run_id: Id, token: str) -> Grant | None:
    """Return what a token grants; None if it is of no attempt of this run, or the run's task is deleted."""
    given = hash_of(token)
    row = connection.execute(_OF_TOKEN, {"g_run": run_id, "g_hash": given}).first()
    if row is None or not hmac.compare_digest(row.token_hash, given):
        return None
    return Grant(*row)
