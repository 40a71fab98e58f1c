"""The notifications that wait: of one task and kind only so many, since nobody may ever take them."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import delete, func, select, update

from rota.db.command import StaleError, Transaction
from rota.db.tables import notification
from rota.db.types import is_one_of
from rota.domain.alerts.retries import MOST_WAITING
from rota.domain.primitives.ids import Id

_WAITS = notification.c.not_before.is_not(None)
_TOO_MANY = (
    select(notification.c.task_id, notification.c.kind)
    .where(_WAITS, is_one_of(notification.c.task_id, "g_tasks"))
    .group_by(notification.c.task_id, notification.c.kind)
    .having(func.count() > MOST_WAITING)
)


class _Waiting(NamedTuple):
    id: Id
    omitted: int


def trim_backlog(tx: Transaction, task_ids: Collection[Id]) -> None:
    """Leave MOST_WAITING of the notifications that wait, by task and kind; called whenever others come to wait.

    The first ones stay, and the latest, with the number of those that were left out between them (`omitted`).
    """
    if not task_ids:
        return
    for row in tx.connection.execute(_TOO_MANY, {"g_tasks": list(task_ids)}).all():
        _trim(tx, row.task_id, row.kind)


def _trim(tx: Transaction, task_id: Id, kind: str) -> None:
    # What another replica is trying is left to it: to wait for it could end in a deadlock.
    waiting = (
        select(notification.c.id, notification.c.omitted)
        .where(_WAITS, notification.c.task_id == task_id, notification.c.kind == kind)
        .order_by(notification.c.id)
        .with_for_update(skip_locked=True)
    )
    found = [_Waiting._make(row) for row in tx.connection.execute(waiting)]
    surplus = found[MOST_WAITING - 1 : -1]
    if not surplus:
        return
    latest = found[-1]
    removed = tx.connection.execute(
        delete(notification).where(_WAITS, notification.c.id.in_([each.id for each in surplus]))
    ).rowcount
    omitted = latest.omitted + sum(each.omitted + 1 for each in surplus)
    noted = tx.connection.execute(
        update(notification).where(_WAITS, notification.c.id == latest.id).values(omitted=omitted)
    ).rowcount
    if (removed, noted) != (len(surplus), 1):
        raise StaleError("a waiting notification was changed by another replica")
