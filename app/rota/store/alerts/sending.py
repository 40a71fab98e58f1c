"""Sending: a notification is sent once a run with it has succeeded; until then it is tried again, with a backoff."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, delete, select, update

from rota.db.bulk import Bulk
from rota.db.command import Command, StaleError, Transaction
from rota.db.tables import notification, task
from rota.db.types import is_one_of
from rota.domain.alerts.retries import wait_after
from rota.domain.effects import DueSooner, RunEnded
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import RunStatus, Trigger
from rota.errors import Invalid
from rota.store.alerts.starting import Outgoing, next_try, start_runs
from rota.store.runs.lineage import chains_of


class _Sending(NamedTuple):
    """A notification that a run sends."""

    id: Id
    run_id: Id
    attempts: int


class _Due(NamedTuple):
    """A notification that is to be tried again."""

    id: Id
    notifies: str
    event: str
    attempts: int
    not_before: datetime
    caused_by: Id | None


_SENT_BY = select(*(notification.c[name] for name in _Sending._fields)).where(
    is_one_of(notification.c.run_id, "g_runs"), notification.c.sent_at.is_(None)
)
_SETTLE = Bulk(
    update(notification)
    .where(
        notification.c.id == bindparam("g_id"),
        notification.c.run_id == bindparam("g_run"),
        notification.c.sent_at.is_(None),
        notification.c.not_before.is_(None),
    )
    .values(
        attempts=bindparam("n_attempts"),
        not_before=bindparam("n_not_before"),
        sent_at=bindparam("n_sent_at"),
    )
)
# Changed tasks for which pending notifications are looked for only if there are any.
_MANY = 100
_EARLIEST = (
    select(notification.c.not_before)
    .where(notification.c.not_before.is_not(None))
    .order_by(notification.c.not_before)
    .limit(1)
)
_TRIED = Bulk(
    update(notification)
    .where(
        notification.c.id == bindparam("g_id"),
        notification.c.not_before == bindparam("g_not_before"),
        notification.c.sent_at.is_(None),
    )
    .values(
        run_id=bindparam("n_run_id"),
        attempts=bindparam("n_attempts"),
        not_before=bindparam("n_not_before"),
    )
)
_WAITING_FOR = (
    update(notification)
    .where(
        notification.c.not_before > bindparam("g_now", type_=notification.c.not_before.type),
        notification.c.notifies.in_(
            select(task.c.name).where(is_one_of(task.c.id, "g_ids"), task.c.deleted_at.is_(None))
        ),
    )
    .values(not_before=bindparam("g_now", type_=notification.c.not_before.type))
)


def earliest_pending(connection: Connection) -> datetime | None:
    """Return when a notification is tried next; None if none is pending."""
    at: datetime | None = connection.execute(_EARLIEST).scalar_one_or_none()
    return at


def settle(tx: Transaction, ended: Sequence[RunEnded]) -> None:
    """Mark the notifications of succeeded runs as sent; those of runs that ended otherwise are tried again."""
    statuses = {each.run_id: each.status for each in ended if each.trigger == Trigger.NOTIFICATION}
    if not statuses:
        return
    rows = map(_Sending._make, tx.connection.execute(_SENT_BY, {"g_runs": list(statuses)}))
    changes = [_settled(each, statuses[each.run_id], tx.now) for each in rows]
    if _SETTLE.execute(tx.connection, changes) != len(changes):
        raise StaleError("a notification was changed by another replica")
    again = [each["n_not_before"] for each in changes if each["n_not_before"] is not None]
    if again:
        tx.effects.append(DueSooner(min(again)))


def _settled(of: _Sending, status: str, now: datetime) -> dict[str, Any]:
    sent = status == RunStatus.SUCCEEDED
    attempts = of.attempts + (not sent)
    return {
        "g_id": of.id,
        "g_run": of.run_id,
        "n_attempts": attempts,
        "n_not_before": None if sent else now + wait_after(attempts),
        "n_sent_at": now if sent else None,
    }


def try_sooner(tx: Transaction, task_ids: Collection[Id]) -> None:
    """Let the pending notifications for tasks that were created, changed or resumed be tried now."""
    if len(task_ids) > _MANY and earliest_pending(tx.connection) is None:
        return  # to pass so many ids costs more than to ask
    waiting = {"g_now": tx.now, "g_ids": list(task_ids)}
    if tx.connection.execute(_WAITING_FOR, waiting).rowcount:
        tx.effects.append(DueSooner(tx.now))


@dataclass(frozen=True, slots=True)
class SendPending(Command[int]):
    """Try up to `limit` notifications again whose time has come; return how many were tried.

    Those that another replica has locked are left to it, as are those of tasks that are being removed.
    """

    patient = False

    limit: int

    def apply(self, tx: Transaction) -> int:
        rows = self._due(tx)
        chains = chains_of(tx.connection, {each.caused_by for each in rows if each.caused_by})
        outgoing = [_outgoing(each, chains) for each in rows]
        started = start_runs(tx, outgoing) if outgoing else {}
        tries = [
            {
                "g_id": each.id,
                "g_not_before": each.not_before,
                **_named(next_try(started[each.id], each.attempts, tx.now)),
            }
            for each in rows
        ]
        if _TRIED.execute(tx.connection, tries) != len(tries):
            raise StaleError("a notification was tried by another replica")
        return len(tries)

    def _due(self, tx: Transaction) -> list[_Due]:
        due = (
            select(*(notification.c[name] for name in _Due._fields))
            .where(*due_by(tx.now))
            .order_by(notification.c.not_before)
            .limit(self.limit)
            .with_for_update(skip_locked=True)
        )
        return [_Due._make(row) for row in tx.connection.execute(due)]


def due_by(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of notifications that are to be tried by `now`."""
    return (notification.c.not_before.is_not(None), notification.c.not_before <= now)


def _read_event(text: str) -> dict[str, Any] | None:
    """Return a stored event; None for one that was changed by hand: the others are sent."""
    try:
        event = json_text.loads(text)
    except Invalid:
        return None
    return event if isinstance(event, dict) else None


def _outgoing(due: _Due, chains: Mapping[Id, Id]) -> Outgoing:
    about = None if due.caused_by is None else chains.get(due.caused_by)
    return Outgoing(
        id=due.id,
        notifies=due.notifies,
        event=_read_event(due.event),
        about=None if due.caused_by is None or about is None else (due.caused_by, about),
    )


def _named(columns: dict[str, Any]) -> dict[str, Any]:
    return {f"n_{name}": value for name, value in columns.items()}


@dataclass(frozen=True, slots=True)
class RemoveSent(Command[int]):
    """Remove up to `limit` notifications that were sent longer than `age` ago; return how many."""

    patient = False

    age: timedelta
    limit: int

    def apply(self, tx: Transaction) -> int:
        old = (
            select(notification.c.id)
            .where(notification.c.sent_at.is_not(None), notification.c.sent_at < tx.now - self.age)
            .order_by(notification.c.sent_at)
            .limit(self.limit)
        )
        return tx.connection.execute(
            delete(notification).where(notification.c.id.in_(old))
        ).rowcount
