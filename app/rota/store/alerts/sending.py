"""Sending: a notification is sent once a run with it has succeeded; until then it is tried again, with a backoff.

One that was tried for days is given up, and so is one about a task that was deleted.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, delete, select, update

from rota.db.bulk import Bulk
from rota.db.command import Command, StaleError, Transaction
from rota.db.tables import notification, task
from rota.db.types import is_one_of
from rota.domain.alerts.events import with_omitted
from rota.domain.effects import DueSooner, NotificationGivenUp, RunEnded
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.status import RunStatus, Trigger
from rota.errors import Invalid
from rota.store.alerts.backlog import trim_backlog
from rota.store.alerts.starting import Hindrance, Outgoing, after_failure, next_try, start_runs
from rota.store.runs.lineage import chains_of


class _Sending(NamedTuple):
    """A notification that a run sends."""

    id: Id
    run_id: Id
    task_id: Id
    kind: str
    notifies: str
    attempts: int
    created_at: datetime


class _Due(NamedTuple):
    """A notification that is to be tried again; `is_for_nobody`: the task that it is about was deleted."""

    id: Id
    task_id: Id
    kind: str
    notifies: str
    event: str
    attempts: int
    not_before: datetime
    caused_by: Id | None
    created_at: datetime
    omitted: int
    is_for_nobody: bool


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
        given_up_at=bindparam("n_given_up_at"),
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
        given_up_at=bindparam("n_given_up_at"),
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
    rows = [
        _Sending._make(row) for row in tx.connection.execute(_SENT_BY, {"g_runs": list(statuses)})
    ]
    changes = [_settled(each, statuses[each.run_id], tx.now) for each in rows]
    if _SETTLE.execute(tx.connection, changes) != len(changes):
        raise StaleError("a notification was changed by another replica")
    again = [each["n_not_before"] for each in changes if each["n_not_before"] is not None]
    if again:
        tx.effects.append(DueSooner(min(again)))
    trim_backlog(tx, {row.task_id for row in rows if statuses[row.run_id] != RunStatus.SUCCEEDED})
    _report(tx, rows, changes)


def _settled(of: _Sending, status: str, now: datetime) -> dict[str, Any]:
    if status == RunStatus.SUCCEEDED:
        columns = {"attempts": of.attempts, "not_before": None, "given_up_at": None, "sent_at": now}
    else:
        columns = {"sent_at": None, **after_failure(of.attempts + 1, now, of.created_at)}
    return {"g_id": of.id, "g_run": of.run_id, **_named(columns)}


def _report(
    tx: Transaction, rows: Sequence[_Sending | _Due], changes: Sequence[Mapping[str, Any]]
) -> None:
    """Report what was given up; of what is about a deleted task nobody needs to know."""
    for row, change in zip(rows, changes, strict=True):
        is_for_nobody = isinstance(row, _Due) and row.is_for_nobody
        if change["n_given_up_at"] is not None and not is_for_nobody:
            tx.effects.append(NotificationGivenUp(row.task_id, row.kind, row.notifies))


def try_sooner(tx: Transaction, task_ids: Collection[Id]) -> None:
    """Let the pending notifications for tasks that were created, changed or resumed be tried now."""
    if len(task_ids) > _MANY and earliest_pending(tx.connection) is None:
        return  # to pass so many ids costs more than to ask
    waiting = {"g_now": tx.now, "g_ids": list(task_ids)}
    if tx.connection.execute(_WAITING_FOR, waiting).rowcount:
        tx.effects.append(DueSooner(tx.now))


@dataclass(frozen=True, slots=True)
class SendPending(Command[int]):
    """Try up to `limit` notifications again whose time has come; return how many there were.

    Those that another replica has locked are left to it. Those about deleted tasks are given up.
    """

    patient = False

    limit: int

    def apply(self, tx: Transaction) -> int:
        rows = self._due(tx)
        chains = chains_of(tx.connection, {each.caused_by for each in rows if each.caused_by})
        outgoing = [_outgoing(each, chains) for each in rows if not each.is_for_nobody]
        started = start_runs(tx, outgoing) if outgoing else {}
        tries = [
            {
                "g_id": each.id,
                "g_not_before": each.not_before,
                **_named(_next_try(each, started, tx.now)),
            }
            for each in rows
        ]
        if _TRIED.execute(tx.connection, tries) != len(tries):
            raise StaleError("a notification was tried by another replica")
        _report(tx, rows, tries)
        return len(tries)

    def _due(self, tx: Transaction) -> list[_Due]:
        due = (
            select(
                *(notification.c[name] for name in _Due._fields[:-1]),
                task.c.deleted_at.is_not(None),
            )
            .join(task, task.c.id == notification.c.task_id)
            .where(*due_by(tx.now))
            .order_by(notification.c.not_before)
            .limit(self.limit)
            .with_for_update(skip_locked=True, of=notification)
        )
        return [_Due._make(row) for row in tx.connection.execute(due)]


def due_by(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of notifications that are to be tried by `now`."""
    return (notification.c.not_before.is_not(None), notification.c.not_before <= now)


def _next_try(of: _Due, started: Mapping[Id, Id | Hindrance], now: datetime) -> dict[str, Any]:
    if of.is_for_nobody:
        given_up = {"not_before": None, "given_up_at": now}
        return {"run_id": None, "attempts": of.attempts, **given_up}
    return next_try(started[of.id], of.attempts, now, of.created_at)


def _read_event(of: _Due) -> dict[str, Any] | None:
    """Return a stored event, with what was left out before it; None for one that was changed by hand."""
    try:
        event = json_text.loads(of.event)
    except Invalid:
        return None
    if not isinstance(event, dict):
        return None
    return with_omitted(event, of.omitted) if of.omitted else event


def _outgoing(due: _Due, chains: Mapping[Id, Id]) -> Outgoing:
    about = None if due.caused_by is None else chains.get(due.caused_by)
    return Outgoing(
        id=due.id,
        notifies=due.notifies,
        event=_read_event(due),
        about=None if due.caused_by is None or about is None else (due.caused_by, about),
    )


def _named(columns: dict[str, Any]) -> dict[str, Any]:
    return {f"n_{name}": value for name, value in columns.items()}


@dataclass(frozen=True, slots=True)
class RemoveSent(Command[int]):
    """Remove up to `limit` notifications that were sent or given up longer than `age` ago; return how many."""

    patient = False

    age: timedelta
    limit: int

    def apply(self, tx: Transaction) -> int:
        return self._remove(tx, notification.c.sent_at) + self._remove(
            tx, notification.c.given_up_at
        )

    def _remove(self, tx: Transaction, ended_at: ColumnElement[datetime]) -> int:
        old = (
            select(notification.c.id)
            .where(ended_at.is_not(None), ended_at < tx.now - self.age)
            .order_by(ended_at)
            .limit(self.limit)
        )
        return tx.connection.execute(
            delete(notification).where(notification.c.id.in_(old))
        ).rowcount
