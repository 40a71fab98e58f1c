"""Events: what commits have done, stored for a while so that streams deliver it in order and without a gap.

The events of a transaction are one row (or a few), written from its effects just before its commit. On PostgreSQL ids
of a sequence become visible out of order (of two transactions the one with the higher id may commit first): a reader
that continued behind the last id that it saw would miss one. So rows are read in the order of their transactions, and
only those of transactions before the oldest one that is still under way.

The newest of the rows that retention removes stays, without its events: a reader before it has missed some.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    literal_column,
    select,
    true,
    tuple_,
    update,
)

from rota.db.command import Command, Transaction
from rota.db.tables import event
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.stream_positions import EventPosition
from rota.store.kv import changes as kv_changes

#: How many rows are read at a time.
AT_A_TIME = 50
_NONE = "[]"
# Every transaction below has ended.
_SETTLED: ColumnElement[int] = literal_column(
    "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
)
_BEGUN: ColumnElement[int] = literal_column("pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
_PLACE = tuple_(event.c.xid, event.c.id)
_ORDER = (event.c.xid, event.c.id)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event: its type, when it was committed, its data, and the position behind it."""

    type: str
    at: datetime
    data: dict[str, Any]
    position: EventPosition


@dataclass(frozen=True, slots=True)
class EventsFound:
    """Events behind a position, in order, and the position behind them. `more`: there may be further ones.

    `cut`: what was between the position and this one is not kept any more (None: nothing was).
    """

    events: list[StoredEvent]
    position: EventPosition
    more: bool
    cut: EventPosition | None


@dataclass(frozen=True, slots=True)
class EventRetention:
    """How long events are kept, and of how many commits (about: numbers of rows have gaps)."""

    age: timedelta = timedelta(days=1)
    most: int = 1_000_000


@dataclass(frozen=True, slots=True)
class RemoveEvents(Command[int]):
    """Remove up to `limit` rows of events that are kept no longer; return how many."""

    keep: EventRetention
    limit: int

    def apply(self, tx: Transaction) -> int:
        if (
            not tx.is_sqlite
        ):  # from another server (a restored dump): its transactions had other numbers
            tx.connection.execute(delete(event).where(event.c.xid >= _BEGUN))
        oldest = select(event.c.xid, event.c.id, event.c.at).order_by(*_ORDER).limit(self.limit + 1)
        rows = tx.connection.execute(oldest).all()
        until = newest(tx.connection).id - self.keep.most
        old = [row for row in rows if row.at <= tx.now - self.keep.age or row.id <= until]
        if not old:
            return 0
        last = (old[-1].xid, old[-1].id)
        removed = tx.connection.execute(delete(event).where(last > _PLACE)).rowcount
        marked = update(event).where(event.c.id == last[1], event.c.events != _NONE)
        return removed + tx.connection.execute(marked.values(events=_NONE)).rowcount


def newest(connection: Connection) -> EventPosition:
    """Return the position behind all events."""
    last = (
        select(*_ORDER).where(_settled(connection)).order_by(event.c.xid.desc(), event.c.id.desc())
    )
    row = connection.execute(last.limit(1)).one_or_none()
    return EventPosition() if row is None else EventPosition(row.xid, row.id)


def is_lost(connection: Connection, after: EventPosition) -> bool:
    """Return whether events behind a position are not stored any more, or it is not one of this database."""
    first = connection.execute(
        select(*_ORDER, event.c.events).order_by(*_ORDER).limit(1)
    ).one_or_none()
    if first is None:
        return after != EventPosition()
    begins = (first.xid, first.id)
    cut = first.events == _NONE and (
        after.commit < begins or (after.commit == begins and after.sent is not None)
    )
    return cut or after.commit > newest(connection).commit


def events_since(connection: Connection, after: EventPosition) -> EventsFound:
    """Return the events behind a position, of up to AT_A_TIME rows."""
    behind = after.commit < _PLACE if after.sent is None else after.commit <= _PLACE
    wanted = select(event).where(behind, _settled(connection)).order_by(*_ORDER).limit(AT_A_TIME)
    rows = connection.execute(wanted).all()
    events = [each for row in rows for each in _read(row, after)]
    position = EventPosition(rows[-1].xid, rows[-1].id) if rows else after
    return EventsFound(events, position, more=len(rows) == AT_A_TIME, cut=_cut(rows))


def marks(connection: Connection, topics: Sequence[Id | None]) -> dict[Id | None, Any]:
    """Return marks that differ when there is something new: of tables (by task id), and of the events (None)."""
    tables = [topic for topic in topics if topic is not None]
    found: dict[Id | None, Any] = {}
    found.update(kv_changes.marks(connection, tables).items())
    if None in topics:
        found[None] = newest(connection)
    return found


def _settled(connection: Connection) -> ColumnElement[bool]:
    return true() if connection.dialect.name == "sqlite" else event.c.xid < _SETTLED


def _cut(rows: Sequence[Any]) -> EventPosition | None:
    """Return where retention has cut, if that is behind the position from which rows were read."""
    if not rows or rows[0].events != _NONE:
        return None
    return EventPosition(rows[0].xid, rows[0].id)


def _read(row: Any, after: EventPosition) -> Iterable[StoredEvent]:
    """Read the events of a row, except those before the position."""
    known = after.sent if after.sent is not None and after.commit == (row.xid, row.id) else 0
    events = json_text.loads(row.events)
    for number, each in enumerate(events[known:], known + 1):
        whole = number == len(events)
        position = EventPosition(row.xid, row.id, None if whole else number)
        yield StoredEvent(each["type"], row.at, each["data"], position)
