"""The log of events: the effects of a transaction become a row (or a few), written just before its commit."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard, assert_never

from sqlalchemy import (
    ColumnElement,
    insert,
    literal_column,
    select,
)

from rota.db.command import Transaction
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
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.instants import format_instant

# Events in a row: what a reader holds in memory is bounded, however much a commit did.
_IN_A_ROW = 500
_MOST_NAMES = 20_000
_XID: ColumnElement[int] = literal_column("pg_current_xact_id()::text::bigint")
_SQLITE_INSERT = insert(event).values(xid=0)
_POSTGRES_INSERT = insert(event).values(xid=_XID)


class _TaskRow(NamedTuple):
    """What events need of a task."""

    id: Id
    name: str
    status: str
    kv_revision: int


_TASKS = select(*(task.c[name] for name in _TaskRow._fields)).where(is_one_of(task.c.id, "g_ids"))


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
