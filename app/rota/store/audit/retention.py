"""Entries of the audit log past their retention."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select

from rota.db.command import Command, Transaction
from rota.db.tables import audit


@dataclass(frozen=True, slots=True)
class RemoveEntries(Command[int]):
    """Remove up to `limit` entries that are older than `age`; return how many."""

    age: timedelta
    limit: int

    def apply(self, tx: Transaction) -> int:
        old = select(audit.c.id).where(audit.c.at <= tx.now - self.age).order_by(audit.c.at)
        ids = list(tx.connection.execute(old.limit(self.limit)).scalars())
        if not ids:
            return 0
        return tx.connection.execute(delete(audit).where(audit.c.id.in_(ids))).rowcount
