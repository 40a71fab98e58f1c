"""Events: what commits have done, stored for a while so that streams deliver it in order and without a gap.

The events of a transaction are one row (or a few), written from its effects just before its commit. On PostgreSQL ids
of a sequence become visible out of order (of two transactions the one with the higher id may commit first): a reader
that continued behind the last id that it saw would miss one. So rows are read in the order of their transactions, and
only those of transactions before the oldest one that is still under way.

The newest of the rows that retention removes stays, without its events: a reader before it has missed some.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeGuard, assert_never

from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    insert,
    literal_column,
    select,
    true,
    tuple_,
    update,
)

from rota.db.command import Command, Transaction
from rota.db.tables import event, task
from rota.db.types import is_one_of
from rota.domain.effects import (
    AlertChanged,
    Event,
    HoldAnnounced,
    KvWritten,
    RunEnded,
    TaskChanged,
    TaskDeleted,
    TaskEvent,
)
from rota.domain.holds.model import Hold
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import Id
from rota.domain.primitives.instants import format_instant
from rota.domain.stream_positions import EventPosition
from rota.store.kv import changes as kv_changes

#: How many rows are read at a time.
AT_A_TIME = 50
# Events in a row: what a reader holds in memory is bounded, however much a commit did.
_IN_A_ROW = 500
_NONE = "[]"
_MOST_NAMES = 20_000
_XID: ColumnElement[int] = literal_column("pg_current_xact_id()::text::bigint")
# Every transaction below has ended.
_SETTLED: ColumnElement[int] = literal_column(
    "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
)
_BEGUN: ColumnElement[int] = literal_column("pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
_SQLITE_INSERT = insert(event).values(xid=0)
_POSTGRES_INSERT = insert(event).values(xid=_XID)
_PLACE = tuple_(event.c.xid, event.c.id)
_ORDER = (event.c.xid, event.c.id)


class _TaskRow(NamedTuple):
    """What events need of a task."""

    id: Id
    name: str
    status: str
    kv_revision: int


_TASKS = select(*(task.c[name] for name in _TaskRow._fields)).where(is_one_of(task.c.id, "g_ids"))


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


class EventLog:
    """Stores the events of the transactions of a writer."""

    def __init__(self) -> None:
        # A task keeps its name. Not to look it up for each run halves the cost of an event.
        self._names: dict[Id, str] = {}

    def record(self, tx: Transaction) -> None:
        """Store the events of a transaction that is about to be committed."""
        reported = [effect for effect in tx.effects if isinstance(effect, Event)]
        if not reported:
            return
        tasks = self._look_up(tx, reported)
        # Several writes to one table are one event, with the revision after them.
        texts = list(dict.fromkeys(self._text(each, tasks) for each in reported))
        texts = [text for text in texts if text]
        for start in range(0, len(texts), _IN_A_ROW):
            made = _POSTGRES_INSERT if not tx.is_sqlite else _SQLITE_INSERT
            row = {"at": tx.now, "events": f"[{','.join(texts[start : start + _IN_A_ROW])}]"}
            tx.connection.execute(made, row)

    def _look_up(self, tx: Transaction, reported: Sequence[Event]) -> dict[Id, _TaskRow]:
        """Return the rows of tasks whose events need more than the name, or whose name is not known."""
        named = self._names
        if len(named) > _MOST_NAMES:
            named.clear()
        of_tasks = [each for each in reported if not isinstance(each, HoldAnnounced)]
        named.update((each.task_id, each.name or "") for each in of_tasks if _is_whole(each))
        ids = {
            each.task_id
            for each in of_tasks
            if not (_is_whole(each) or (isinstance(each, RunEnded) and each.task_id in named))
        }
        if not ids:
            return {}
        rows = map(_TaskRow._make, tx.connection.execute(_TASKS, {"g_ids": list(ids)}))
        found = {row.id: row for row in rows}
        named.update((id, row.name) for id, row in found.items())
        return found

    def _text(self, effect: Event, tasks: Mapping[Id, _TaskRow]) -> str:
        """Return the text of an event; an empty one for a task of which nothing is left."""
        if isinstance(effect, RunEnded):
            name = self._names.get(effect.task_id)
            return "" if name is None else _run_text(effect, name)
        if isinstance(effect, HoldAnnounced):
            return json_text.render(_about_hold(effect, effect.hold))
        if _is_whole(effect):
            return _completed_text(effect)
        of = tasks.get(effect.task_id)
        return "" if of is None else json_text.render(_about_task(effect, of))


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


def _run_text(ended: RunEnded, name: str) -> str:
    """Write an event by hand, since every run is one: nothing of it is anything that JSON would escape."""
    reason = "null" if ended.reason is None else f'"{ended.reason}"'
    return (
        f'{{"type":"run.{ended.status}","data":{{"task":"{name}","run":"{ended.run_id}",'
        f'"status":"{ended.status}","reason":{reason},"trigger":"{ended.trigger}"}}}}'
    )


def _is_whole(effect: Event) -> TypeGuard[TaskChanged]:
    """Return whether an effect has all data of its event: a task has completed, and its name is known."""
    return (
        isinstance(effect, TaskChanged)
        and effect.name is not None
        and effect.what is TaskEvent.COMPLETED
    )


def _completed_text(effect: TaskChanged) -> str:
    """Write the event by hand as well: a task that fires once has one for its run."""
    return (
        f'{{"type":"task.completed","data":{{"task":"{effect.name}","id":"{effect.task_id}",'
        f'"status":"completed","reason":null,"by":"{effect.by}"}}}}'
    )


def _about_hold(effect: HoldAnnounced, of: Hold) -> dict[str, Any]:
    data = {
        "hold": of.name,
        "id": of.id,
        "from": format_instant(of.starts_at),
        "until": None if of.ends_at is None else format_instant(of.ends_at),
        "fire_times": of.fire_times,
        "reason": of.reason,
        "within": of.selector.within,
        "by": effect.by,
    }
    return {"type": f"hold.{effect.what}", "data": data}


def _about_task(
    effect: KvWritten | TaskChanged | TaskDeleted | AlertChanged, of: _TaskRow
) -> dict[str, Any]:
    data: dict[str, Any] = {"task": of.name, "id": of.id, "status": of.status}
    match effect:
        case KvWritten():
            return {"type": "kv.changed", "data": {"task": of.name, "revision": of.kv_revision}}
        case TaskDeleted():
            return {"type": f"task.{TaskEvent.DELETED}", "data": data}
        case TaskChanged():
            data |= {"reason": effect.reason, "by": effect.by}
            return {"type": f"task.{effect.what}", "data": data}
        case AlertChanged():
            alerted = {"task": of.name, "id": of.id, "kind": effect.kind, "run": effect.run_id}
            return {"type": f"alert.{effect.what}", "data": alerted}
        case _:
            assert_never(effect)
