"""Tasks that are deferred by a hold: found page by page, and looked at again when nothing holds them any more.

`deferred_until` only spares the firing passes a look. The fate of a fire time is decided when it is planned.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, tuple_, update

from rota.db.command import Command, Transaction
from rota.db.tables import task, task_tag
from rota.db.types import is_one_of
from rota.domain.effects import DueSooner
from rota.domain.primitives.ids import Id
from rota.store.task_locks import locking

#: Of a deferred task: where a page ended.
Place = tuple[datetime, Id]
_PLACE = (task.c.deferred_until, task.c.id)
_IS_DEFERRED = task.c.deferred_until.is_not(None)


@dataclass(frozen=True, slots=True)
class DeferredTask:
    """A deferred task, with what holds select by; `tags` are empty if they were not asked for."""

    id: Id
    name: str
    queue: str
    deferred_until: datetime
    tags: Sequence[str] = ()

    @property
    def place(self) -> Place:
        return self.deferred_until, self.id


def deferred_tasks(
    connection: Connection, after: Place | None, limit: int, *, with_tags: bool
) -> list[DeferredTask]:
    """Return up to `limit` deferred tasks behind a place, those that are checked again soonest first."""
    page = select(task.c.id, task.c.name, task.c.queue, task.c.deferred_until).where(_IS_DEFERRED)
    if after is not None:
        page = page.where(tuple_(*_PLACE) > after)
    rows = connection.execute(page.order_by(*_PLACE).limit(limit)).all()
    tags = _tags_of(connection, [row.id for row in rows]) if with_tags else {}
    return [DeferredTask(*row, tags.get(row.id, ())) for row in rows]


def earliest_deferred(connection: Connection) -> datetime | None:
    """Return when the first of the deferred tasks is to be checked again; None: none is deferred."""
    return connection.execute(select(func.min(task.c.deferred_until)).where(_IS_DEFERRED)).scalar()


@dataclass(frozen=True, slots=True)
class EndDeferral(Command[int]):
    """Let the firing passes look at deferred tasks again; return how many they are, without those that are locked."""

    patient = False

    ids: tuple[Id, ...]

    def apply(self, tx: Transaction) -> int:
        free = tx.connection.execute(_FREE, {"g_ids": self.ids}).scalars().all()
        if not free:
            return 0
        ended = tx.connection.execute(_END, {"g_free": free})
        tx.effects.append(DueSooner(tx.now))
        return ended.rowcount


_FREE = (
    locking(task.c.id)
    .where(is_one_of(task.c.id, "g_ids"), _IS_DEFERRED)
    .with_for_update(skip_locked=True)
)
_END = update(task).where(is_one_of(task.c.id, "g_free"), _IS_DEFERRED).values(deferred_until=None)


def _tags_of(connection: Connection, ids: Sequence[Id]) -> dict[Id, list[str]]:
    found: dict[Id, list[str]] = defaultdict(list)
    wanted = select(task_tag.c.task_id, task_tag.c.tag).where(
        is_one_of(task_tag.c.task_id, "g_ids")
    )
    for id, tag in connection.execute(wanted, {"g_ids": ids}):
        found[id].append(tag)
    return found
