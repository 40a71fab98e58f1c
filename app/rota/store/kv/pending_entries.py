"""The entries that a commit touches: as they are stored, and as its operations change them, one after the other."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import null, select

from rota.db.command import Transaction
from rota.db.tables import kv
from rota.db.types import is_one_of
from rota.domain.kv.entries import Change, KvChange
from rota.domain.kv.operation_traits import needs_value
from rota.domain.kv.operations import Operation, execute, is_live
from rota.domain.kv.present import Present
from rota.domain.primitives.ids import Id
from rota.store.kv.planned_write import Place, Write
from rota.store.sealing.sealed_values import open_value

#: An entry and its size in bytes; the value may have been left out.
_Held = tuple[Present, int]
#: The entries at some places before they were changed.
Savepoint = list[tuple[Place, _Held | None]]


class PendingEntries:
    """The entries that a commit touches; each operation sees what the ones before it have left."""

    def __init__(self, tx: Transaction, touched: Collection[tuple[Id, Operation | Change]]) -> None:
        """Read the entries that operations on tables (by task) touch. Raises Sealed for a value that does not open.

        Values are read where an operation needs them; otherwise versions and sizes are.
        """
        self._now = tx.now
        self._held: dict[Place, _Held] = {}
        if touched:
            self._load(tx, {(id, each.key) for id, each in touched}, _needing_values(touched))

    def conflict(self, task_id: Id, changes: Iterable[Change], since: int) -> str | None:
        """Return a key that `changes` write and another writer has written or removed since the revision `since`."""
        for change in changes:
            if not isinstance(change, KvChange):
                continue
            held = self._held.get((task_id, change.key))
            version = None if held is None else held[0].version
            if change.replaces if version is None else version > since:
                return change.key
        return None

    def execute(
        self, task_id: Id, operation: Operation | Change, by: str, limit: int, version: int
    ) -> Write | None:
        """Execute an operation; return what it writes, if anything. `limit`: bytes of a value. Raises OperationFailed.

        `version` is the revision of the table that the write will have.
        """
        place = (task_id, operation.key)
        if isinstance(operation, KvChange):
            return self._put(place, self._written(operation), by, version)
        present = self.live(place)
        after = execute(operation, present, self._now, limit)
        return None if after is present else self._put(place, after, by, version)

    def remove_expired(self, place: Place) -> Write | None:
        """Remove an entry that has expired; None if there is none any more."""
        held = self._held.get(place)
        if held is None or is_live(held[0], self._now):
            return None
        return self._put(place, None, "rota", 0)

    def live(self, place: Place) -> Present | None:
        """Return the entry; None if there is none, or it has expired."""
        held = self._held.get(place)
        return held[0] if held is not None and is_live(held[0], self._now) else None

    def savepoint(self, places: Iterable[Place]) -> Savepoint:
        """Return the entries at `places` as they are now, for `roll_back`."""
        return [(place, self._held.get(place)) for place in places]

    def roll_back(self, savepoint: Savepoint) -> None:
        """Undo the operations since the savepoint."""
        for place, held in savepoint:
            if held is None:
                self._held.pop(place, None)
            else:
                self._held[place] = held

    def _written(self, change: KvChange) -> Present | None:
        if change.value is None:
            return None
        expires_at = None if change.ttl is None else self._now + change.ttl
        return Present(change.value, change.content_type, expires_at)

    def _put(self, place: Place, after: Present | None, by: str, version: int) -> Write:
        held = self._held.pop(place, None)
        if after is not None:
            self._held[place] = (after.written(version, self._now, by), after.size)
        return Write(*place, after, None if held is None else held[1], by)

    def _load(self, tx: Transaction, places: set[Place], with_values: set[Place]) -> None:
        tasks, keys = ({place[part] for place in places} for part in (0, 1))
        given = {"g_tasks": list(tasks), "g_keys": list(keys)}
        # This may read more rows than were asked for, which does no harm.
        for row in tx.connection.execute(_WHOLE if with_values else _VERSIONS, given):
            # An entry that is only replaced need not open.
            value: Any = (
                open_value(tx.connection, row) if (row.task_id, row.key) in with_values else None
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


def _needing_values(touched: Iterable[tuple[Id, Operation | Change]]) -> set[Place]:
    return {
        (task_id, each.key)
        for task_id, each in touched
        if not isinstance(each, KvChange) and needs_value(each)
    }


def _of(columns: Sequence[Any]) -> Any:
    # Two conditions instead of pairs: for pairs SQLite reads the whole table.
    return select(*columns).where(is_one_of(kv.c.task_id, "g_tasks"), is_one_of(kv.c.key, "g_keys"))


_COLUMNS = tuple(kv.columns)
_WHOLE = _of(_COLUMNS)
_VERSIONS = _of([null().label("value") if column is kv.c.value else column for column in _COLUMNS])
