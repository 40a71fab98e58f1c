"""Runs that wait for a host which is up again: their time comes soon, a few at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select, update

from rota.db.bulk import Bulk
from rota.db.command import Command, Transaction
from rota.db.tables import run
from rota.domain.effects import DueSooner
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.status import RunStatus

_DELAYED = (run.c.status == RunStatus.QUEUED, run.c.not_before.is_not(None))
_SOONER = Bulk(
    update(run)
    .where(run.c.id == bindparam("g_id"), *_DELAYED)
    .values(not_before=bindparam("n_not_before")),
    apart=True,
)


@dataclass(frozen=True, slots=True)
class WakeWaiting(Command[int]):
    """Bring up to `limit` runs forward that wait for something until a time within `within`; return how many.

    The first `group` of them can start now, and each further group `interval` later.
    """

    patient = False

    waiting_on: str
    within: timedelta
    limit: int
    group: int
    interval: timedelta

    def apply(self, tx: Transaction) -> int:
        changes = list(self._changes(tx))
        changed = _SOONER.execute(tx.connection, changes)
        if changes:
            tx.effects.append(DueSooner(changes[0]["n_not_before"]))
        return changed

    def _changes(self, tx: Transaction) -> Iterator[dict[str, Any]]:
        for index, (id, due) in enumerate(self._waiting(tx)):
            sooner = tx.now + index // self.group * self.interval
            if sooner < due:
                yield {"g_id": id, "n_not_before": sooner}

    def _waiting(self, tx: Transaction) -> list[tuple[Id, datetime]]:
        """Return the runs with their times, the earliest one first; those that another replica has locked are left."""
        waits = (
            run.c.waiting_on == json_text.dumps([self.waiting_on]),
            run.c.not_before > tx.now,
            run.c.not_before <= tx.now + self.within,
        )
        rows = tx.connection.execute(
            select(run.c.id, run.c.not_before)
            .where(*_DELAYED, *waits)
            .order_by(run.c.not_before, run.c.id)
            .limit(self.limit)
            .with_for_update(skip_locked=True)
        )
        return [(id, due) for id, due in rows]
