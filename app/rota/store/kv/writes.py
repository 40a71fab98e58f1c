"""Writing to key-value tables: what a commit makes of the entries that it touches, worked out and then written.

The task's row is locked by whoever writes to its table, so that writers come one after the other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, null, select
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.bulk import Bulk
from rota.db.encryption import keyring_of
from rota.db.tables import kv
from rota.db.types import is_one_of
from rota.db.writer import Transaction
from rota.domain.kv.entries import Change, KvChange
from rota.domain.kv.operations import Operation, OperationFailed, carry_out, is_live, needs_value
from rota.domain.kv.present import Present
from rota.domain.primitives.ids import Id
from rota.store.kv.history_rows import forget, has_history, keep
from rota.store.kv.planned_write import Place, Write, one_each
from rota.store.sealed_values import open_value, seal_values

#: An entry, and with how many bytes; its value may have been left out.
_Held = tuple[Present, int]


# Above every revision: the version of what the group itself has written.
_LATER = 1 << 62


class Entries:
    """The entries that a commit touches: as they are, and as it changes them, one writer after the other."""

    def __init__(
        self, tx: Transaction, places: Collection[Place], looked_into: Collection[Place] = ()
    ) -> None:
        """Read the entries at `places`, with the values of those that are `looked_into`; raises Sealed for these."""
        self._now = tx.now
        self._held: dict[Place, _Held] = {}
        if places:
            self._load(tx, places, looked_into)

    def conflict(self, task_id: Id, changes: Iterable[Change], since: int) -> str | None:
        """Return a key that `changes` write and somebody else has written or removed since the revision `since`."""
        for change in changes:
            if not isinstance(change, KvChange):
                continue
            held = self._held.get((task_id, change.key))
            version = None if held is None else held[0].version
            if change.replaces if version is None else version > since:
                return change.key
        return None

    def change(self, task_id: Id, changes: Iterable[Change], by: str, limit: int) -> list[Write]:
        """Carry out what a run has done to a table. Raises OperationFailed where an entry forbids it by now."""
        made: list[Write] = []
        before: list[tuple[Place, _Held | None]] = []
        try:
            for change in changes:
                place = (task_id, change.key)
                before.append((place, self._held.get(place)))
                write = self._change(place, change, by, limit)
                if write is not None:
                    made.append(write)
        except OperationFailed:
            self._restore(before)
            raise
        return one_each(made)

    def carry_out(
        self, task_id: Id, operation: Operation, by: str, limit: int, version: int
    ) -> Write | None:
        """Carry out one operation; return what it writes, if anything. Raises OperationFailed."""
        place = (task_id, operation.key)
        present = self.live(place)
        after = carry_out(operation, present, self._now, limit)
        return None if after is present else self._put(place, after, by, version)

    def remove_expired(self, place: Place) -> Write | None:
        """Remove an entry that has expired; None if there is none any more."""
        held = self._held.get(place)
        if held is None or is_live(held[0], self._now):
            return None
        return self._put(place, None, "rota")

    def live(self, place: Place) -> Present | None:
        """Return the entry; None if there is none, or it has expired."""
        held = self._held.get(place)
        return held[0] if held is not None and is_live(held[0], self._now) else None

    def _change(self, place: Place, change: Change, by: str, limit: int) -> Write | None:
        if isinstance(change, KvChange):
            return self._put(place, self._as_left(change), by)
        present = self.live(place)
        after = carry_out(change, present, self._now, limit)
        return None if after is present else self._put(place, after, by)

    def _as_left(self, change: KvChange) -> Present | None:
        if change.value is None:
            return None
        expires_at = None if change.ttl is None else self._now + change.ttl
        return Present(change.value, change.content_type, expires_at)

    def _put(self, place: Place, after: Present | None, by: str, version: int = _LATER) -> Write:
        held = self._held.pop(place, None)
        if after is not None:
            self._held[place] = (after.written(version, self._now, by), after.size)
        return Write(*place, after, None if held is None else held[1], by)

    def _restore(self, before: Sequence[tuple[Place, _Held | None]]) -> None:
        for place, held in reversed(before):
            if held is None:
                self._held.pop(place, None)
            else:
                self._held[place] = held

    def _load(
        self, tx: Transaction, places: Collection[Place], looked_into: Collection[Place]
    ) -> None:
        tasks, keys = ({place[part] for place in places} for part in (0, 1))
        given = {"g_tasks": list(tasks), "g_keys": list(keys)}
        # More rows than were asked for do no harm.
        for row in tx.connection.execute(_WHOLE if looked_into else _VERSIONS, given):
            # One that is only replaced need not open.
            value: Any = (
                open_value(tx.connection, row) if (row.task_id, row.key) in looked_into else None
            )
            present = Present(
                value,
                row.content_type,
                row.expires_at,
                row.version,
                row.updated_at,
                row.updated_by,
            )
            self._held[row.task_id, row.key] = (present, row.size)


def places_looked_into(touched: Iterable[tuple[Id, Operation | Change]]) -> set[Place]:
    """Return where carrying these out takes the values that are there, and not only their versions."""
    return {
        (task_id, each.key)
        for task_id, each in touched
        if not isinstance(each, KvChange) and needs_value(each)
    }


def write(tx: Transaction, writes: Sequence[Write], history: Mapping[Id, int]) -> None:
    """Write entries, in order; `history` says how many versions of a key each task keeps."""
    forget(tx, [each for each in writes if _replaces(each)], history)
    for each_once in _rounds(writes):
        keep(tx, [each for each in each_once if _replaces(each)], history)
        rows = [_to_row(each, each.after, tx.now) for each in each_once if each.after]
        _put(tx, rows)
        removed = [_place(each) for each in each_once if each.after is None]
        _DELETE.execute(tx.connection, removed)


def _put(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    keyring = keyring_of(tx.connection)
    upsert = _UPSERTS[tx.is_sqlite, keyring is not None]
    upsert.execute(tx.connection, rows if keyring is None else seal_values(keyring, rows))


def _rounds(writes: Sequence[Write]) -> Iterable[list[Write]]:
    """Part writes so that each key is written once in a round; nearly always there is one round."""
    rounds: list[dict[Place, Write]] = []
    for each in writes:
        place = (each.task_id, each.key)
        for earlier in rounds:
            if place not in earlier:
                earlier[place] = each
                break
        else:
            rounds.append({place: each})
    return [list(each.values()) for each in rounds]


def _replaces(each: Write) -> bool:
    return each.before is not None and has_history(each.key)


def _place(each: Write) -> dict[str, Any]:
    return {"g_task_id": each.task_id, "g_key": each.key}


def _to_row(each: Write, after: Present, now: datetime) -> dict[str, Any]:
    return {
        "task_id": each.task_id,
        "key": each.key,
        "value": after.value,
        "content_type": after.content_type,
        "size": len(after.value),
        "version": each.version,
        "updated_at": now,
        "updated_by": each.by,
        "expires_at": after.expires_at,
    }


def _of(columns: Sequence[Any]) -> Any:
    # Each side on its own: SQLite reads the whole table for pairs.
    return select(*columns).where(is_one_of(kv.c.task_id, "g_tasks"), is_one_of(kv.c.key, "g_keys"))


_COLUMNS = tuple(kv.columns)


_WHOLE = _of(_COLUMNS)


_VERSIONS = _of([null().label("value") if column is kv.c.value else column for column in _COLUMNS])


_HERE = (kv.c.task_id == bindparam("g_task_id"), kv.c.key == bindparam("g_key"))


_NAMES = [column.name for column in _COLUMNS]


_DELETE = Bulk(delete(kv).where(*_HERE))


def _upsert(insert: Any, *, sealed: bool) -> Bulk:
    names = _NAMES if sealed else [name for name in _NAMES if name != "sealed_with"]
    given = {name: insert.excluded[name] for name in names if name not in {"task_id", "key"}}
    # What was sealed before is not any more, at no cost to those who seal nothing.
    changes = given if sealed else given | {"sealed_with": null()}
    upsert = insert.on_conflict_do_update(index_elements=["task_id", "key"], set_=changes)
    return Bulk(upsert, names, apart=True)


#: By whether they are for SQLite, and whether the values are sealed.
_UPSERTS = {
    (dialect is sqlite, sealed): _upsert(dialect.insert(kv), sealed=sealed)
    for dialect in (sqlite, postgresql)
    for sealed in (False, True)
}
