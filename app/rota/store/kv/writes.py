"""The statements that write entries: upserts, removals, and the history of what they replace."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, null
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.encryption import keyring_of
from rota.db.tables import kv
from rota.domain.kv.present import Present
from rota.domain.primitives.ids import Id
from rota.store.kv.history.rows import forget, has_history, keep
from rota.store.kv.planned_write import Place, Write
from rota.store.sealing.sealed_values import seal_values


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


_HERE = (kv.c.task_id == bindparam("g_task_id"), kv.c.key == bindparam("g_key"))


_NAMES = [column.name for column in kv.columns]


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
