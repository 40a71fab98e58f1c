"""Alerts and notifications, as they are read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, tuple_

from rota.db.tables import alert, notification, task
from rota.domain.access.names import NameLimit
from rota.domain.alerts.rules import AlertKind
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.errors import Invalid
from rota.store.task_names import covers

Position = tuple[datetime, str, str]


class RaisedAlert(NamedTuple):
    """An alert that is raised."""

    task: str
    task_id: Id
    kind: AlertKind
    raised_at: datetime
    run_id: Id | None


class SentNotification(NamedTuple):
    """A notification: sent, if it has a `sent_at`; else being sent by `run_id`, waiting for `not_before`, or given up.

    `omitted`: how many before it were left out, since too many waited.
    """

    id: Id
    kind: AlertKind
    notifies: str
    event: Any
    run_id: Id | None
    attempts: int
    not_before: datetime | None
    created_at: datetime
    sent_at: datetime | None
    given_up_at: datetime | None
    omitted: int


_RAISED = select(
    task.c.name, alert.c.task_id, alert.c.kind, alert.c.raised_at, alert.c.run_id
).join(task, task.c.id == alert.c.task_id)
_NEWEST = (alert.c.raised_at.desc(), task.c.name.desc(), alert.c.kind.desc())


def raised_of(connection: Connection, task_id: Id) -> list[RaisedAlert]:
    """Return the raised alerts of a task, the newest first."""
    rows = connection.execute(_RAISED.where(alert.c.task_id == task_id).order_by(*_NEWEST))
    return [_to_raised(row) for row in rows]


def list_raised(
    connection: Connection,
    tasks: Sequence[str],
    kinds: Sequence[str],
    visible: NameLimit,
    after: Position | None,
    limit: int,
) -> list[RaisedAlert]:
    """Return up to `limit` raised alerts of tasks that are visible, the newest first, after a position."""
    wanted = _RAISED.where(task.c.deleted_at.is_(None), covers(visible, task.c.name))
    if tasks:
        wanted = wanted.where(task.c.name.in_(tasks))
    if kinds:
        wanted = wanted.where(alert.c.kind.in_(kinds))
    if after is not None:
        wanted = wanted.where(tuple_(alert.c.raised_at, task.c.name, alert.c.kind) < after)
    rows = connection.execute(wanted.order_by(*_NEWEST).limit(limit))
    return [_to_raised(row) for row in rows]


def list_notifications(
    connection: Connection, task_id: Id, after: Id | None, limit: int
) -> list[SentNotification]:
    """Return up to `limit` notifications about a task, the newest first, after one of them."""
    wanted = select(*(notification.c[name] for name in SentNotification._fields)).where(
        notification.c.task_id == task_id
    )
    if after is not None:
        wanted = wanted.where(notification.c.id < after)
    rows = connection.execute(wanted.order_by(notification.c.id.desc()).limit(limit))
    return [_to_notification(row) for row in rows]


def _to_raised(row: Any) -> RaisedAlert:
    found = RaisedAlert._make(row)
    return found._replace(kind=AlertKind(found.kind))


def _to_notification(row: Any) -> SentNotification:
    found = SentNotification._make(row)
    try:
        event = json_text.loads(found.event)
    except Invalid:  # changed by hand
        event = None
    return found._replace(kind=AlertKind(found.kind), event=event)
