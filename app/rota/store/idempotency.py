"""Idempotency keys: the answer is kept in the commit of its write, and replayed for the same request."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, delete, insert, select

from rota.db.command import Command, Transaction
from rota.db.tables import idempotency
from rota.domain.primitives.json import json_text
from rota.errors import Invalid

KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it goes out: status, headers and body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Once(Command[tuple[Reply, bool]]):
    """Execute a command once for a key; return the reply and whether it is a replay.

    Raises Invalid if the key was used for another request, and what the command raises (which is not kept: nothing
    was written, so the same request may be sent again).
    """

    key: str
    principal: str
    fingerprint: str
    command: Command[Any]
    render: Callable[[Any], Reply]

    def apply(self, tx: Transaction) -> tuple[Reply, bool]:
        kept = self._kept(tx)
        if kept is not None:
            return kept, True
        reply = self.render(self.command.apply(tx))
        row = {
            "key": self.key,
            "principal": self.principal,
            "fingerprint": self.fingerprint,
            "status": reply.status,
            "headers": json_text.dumps(reply.headers),
            "body": reply.body,
            "created_at": tx.now,
        }
        tx.connection.execute(insert(idempotency), row)
        return reply, False

    def _kept(self, tx: Transaction) -> Reply | None:
        wanted = and_(idempotency.c.key == self.key, idempotency.c.principal == self.principal)
        row = tx.connection.execute(select(idempotency).where(wanted)).one_or_none()
        if row is None:
            return None
        if row.created_at <= tx.now - KEPT_FOR:
            tx.connection.execute(delete(idempotency).where(wanted))
            return None
        if row.fingerprint != self.fingerprint:
            raise Invalid(
                f"The Idempotency-Key {self.key!r} was used for another request; use a new one.",
                slug="idempotency-key-reused",
            )
        return Reply(row.status, json_text.loads(row.headers), row.body)


@dataclass(frozen=True, slots=True)
class RemoveOld(Command[int]):
    """Remove up to `limit` keys older than 24 h; return how many."""

    limit: int

    def apply(self, tx: Transaction) -> int:
        old = (
            select(idempotency.c.key, idempotency.c.principal)
            .where(idempotency.c.created_at <= tx.now - KEPT_FOR)
            .order_by(idempotency.c.created_at)
            .limit(self.limit)
        )
        keys = [tuple(row) for row in tx.connection.execute(old)]
        for key, principal in keys:
            mine = and_(idempotency.c.key == key, idempotency.c.principal == principal)
            tx.connection.execute(delete(idempotency).where(mine))
        return len(keys)
