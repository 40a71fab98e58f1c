"""Tokens of attempts that go on outside of Rota: who has one may complete its attempt. Only their hash is stored."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rota.db.command import Transaction
from rota.domain.primitives.ids import Id

_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideAttempt:
    """An attempt that may go on outside of Rota.

    `timeout` is its hard limit, from now on, and `silence` how long it may go without a heartbeat (None: until then).
    """

    run_id: Id
    attempt: int
    kv_revision: int
    timeout: timedelta
    silence: timedelta | None


def new_token() -> str:
    """Return a new token: 256 random bits, as text that fits into a header."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_of(token: str) -> str:
    """Return the hash of a token, which is what is stored of it. A token cannot be guessed, so it needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def issue_tokens(tx: Transaction, attempts: Sequence[OutsideAttempt]) -> list[str]:  # noqa: ARG001
    """Return a new token for each of these attempts, in order."""
    return [new_token() for _ in attempts]
