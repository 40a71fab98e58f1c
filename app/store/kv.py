"""The key-value tables of tasks. Every write gets the task's next kv revision as its version."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.db.bulk import Bulk
from app.db.tables import kv, task
from app.db.types import is_one_of
from app.db.writer import Command, Transaction
from app.domain.effects import KvWritten
from app.domain.kv import JSON_TYPE, KvChange, KvEntry, KvSnapshot
from app.errors import NotFound, PreconditionFailed
from app.store.tasks import missing_task, starts_with, task_id


@dataclass(frozen=True, slots=True)
class Write:
    """One change of one key, with the version that it gets and who makes it."""

    task_id: UUID
    change: KvChange
    version: int
    by: str


@dataclass(frozen=True, slots=True)
class Expected:
    """A precondition on an entry: `version` it must have, or (None) that it must not be there."""

    task_id: UUID | None
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEntry(Command[tuple[UUID, KvEntry, bool]]):
    """Write one entry; return its task, itself, and whether it is new. Raises NotFound, PreconditionFailed."""

    task: str
    key: str
    value: bytes
    ttl: timedelta | None
    by: str
    expected: Expected | None = None

    def apply(self, tx: Transaction) -> tuple[UUID, KvEntry, bool]:
        owner, revision = _next_revision(tx, self.task)
        present = _live_version(tx, owner, self.key)
        _check_expected(self.expected, owner, present, self.key)
        change = KvChange(self.key, self.value, self.ttl)
        write(tx, [Write(owner, change, revision, self.by)])
        tx.effects.append(KvWritten(owner))
        entry = KvEntry(
            key=self.key,
            value=self.value,
            version=revision,
            updated_at=tx.now,
            updated_by=self.by,
            expires_at=_expiry(change, tx.now),
        )
        return owner, entry, present is None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteEntry(Command[None]):
    """Remove one entry; raises NotFound if the task or the entry is not there, PreconditionFailed."""

    task: str
    key: str
    by: str
    expected: Expected | None = None

    def apply(self, tx: Transaction) -> None:
        owner, revision = _next_revision(tx, self.task)
        present = _live_version(tx, owner, self.key)
        _check_expected(self.expected, owner, present, self.key)
        if present is None:
            raise NotFound(f"Task {self.task!r} has no entry {self.key!r}.")
        write(tx, [Write(owner, KvChange(self.key, None), revision, self.by)])
        tx.effects.append(KvWritten(owner))


@dataclass(frozen=True, slots=True)
class RemoveExpired(Command[int]):
    """Remove up to `limit` expired entries; return how many."""

    limit: int

    def apply(self, tx: Transaction) -> int:
        expired = (
            select(kv.c.task_id, kv.c.key)
            .where(kv.c.expires_at <= tx.now)
            .order_by(kv.c.expires_at)
            .limit(self.limit)
        )
        found = [
            {"g_task_id": row.task_id, "g_key": row.key, "g_now": tx.now}
            for row in tx.connection.execute(expired)
        ]
        return _DELETE_EXPIRED.execute(tx.connection, found)


class Writing(Protocol):
    """An attempt that succeeded with kv changes."""

    @property
    def run_id(self) -> UUID: ...

    @property
    def task_id(self) -> UUID: ...

    @property
    def outcome(self) -> Any: ...


def find_entry(
    connection: Connection, task_name: str, key: str, now: datetime
) -> tuple[UUID, KvEntry]:
    """Return the task's id and a live entry of it; raises NotFound for either."""
    owner = task_id(connection, task_name)
    row = connection.execute(_live(now).where(kv.c.task_id == owner, kv.c.key == key)).one_or_none()
    if row is None:
        raise NotFound(f"Task {task_name!r} has no entry {key!r}.")
    return owner, _to_entry(row)


def list_entries(
    connection: Connection,
    task_name: str,
    now: datetime,
    *,
    prefix: str = "",
    keys: Sequence[str] = (),
    after: str = "",
    limit: int,
) -> list[KvEntry]:
    """Return up to `limit` live entries, by key, from `after` on; raises NotFound for the task."""
    owner = task_id(connection, task_name)
    wanted = _live(now).where(kv.c.task_id == owner, kv.c.key > after)
    if keys:
        wanted = wanted.where(kv.c.key.in_(keys))
    if prefix:
        wanted = wanted.where(*starts_with(kv.c.key, prefix))
    return [_to_entry(row) for row in connection.execute(wanted.order_by(kv.c.key).limit(limit))]


def snapshot(connection: Connection, owner: UUID, now: datetime) -> KvSnapshot:
    """Return all live entries of a task and the revision that they have; one transaction, one moment."""
    given = {"g_task": owner, "g_now": now}
    revision = connection.execute(_REVISION, given).scalar_one()
    return KvSnapshot({row.key: row.value for row in connection.execute(_LIVE, given)}, revision)


# Built once: it is part of every attempt that reads its kv.
_REVISION = select(task.c.kv_revision).where(task.c.id == bindparam("g_task", type_=task.c.id.type))
_LIVE = select(kv.c.key, kv.c.value).where(
    kv.c.task_id == bindparam("g_task", type_=kv.c.task_id.type),
    or_(
        kv.c.expires_at.is_(None),
        kv.c.expires_at > bindparam("g_now", type_=kv.c.expires_at.type),
    ),
)


# Each side on its own: SQLite reads the whole table for pairs. More rows than were asked for do no harm.
_VERSIONS = select(kv.c.task_id, kv.c.key, kv.c.version).where(
    is_one_of(kv.c.task_id, "g_tasks"),
    is_one_of(kv.c.key, "g_keys"),
)


def conflicts(tx: Transaction, writing: Sequence[Writing]) -> dict[UUID, str]:
    """Return, by run, a key that the run writes and that somebody else changed since its snapshot."""
    wanted = [(each.task_id, change.key) for each in writing for change in each.outcome.changes]
    if not wanted:
        return {}
    tasks, keys = ({place[part] for place in wanted} for part in (0, 1))
    rows = tx.connection.execute(_VERSIONS, {"g_tasks": list(tasks), "g_keys": list(keys)})
    versions = {(row.task_id, row.key): row.version for row in rows}
    found: dict[UUID, str] = {}
    for each in writing:
        key = _first_conflict(each, versions)
        if key is not None:
            found[each.run_id] = key
            continue
        # An earlier finish of this very group counts as somebody else for the later ones.
        for change in each.outcome.changes:
            place = (each.task_id, change.key)
            if change.value is None:
                versions.pop(place, None)
            else:
                versions[place] = _LATER
    return found


def _first_conflict(each: Writing, versions: Mapping[tuple[UUID, str], int]) -> str | None:
    for change in each.outcome.changes:
        version = versions.get((each.task_id, change.key))
        if change.replaces if version is None else version > each.outcome.kv_revision:
            return str(change.key)
    return None


def write(tx: Transaction, writes: Iterable[Write]) -> None:
    """Carry out changes, in order; a key that is changed twice ends as the later change leaves it."""
    last = {(each.task_id, each.change.key): each for each in writes}
    kept = [_to_row(each, tx.now) for each in last.values() if each.change.value is not None]
    removed = [
        {"g_task_id": each.task_id, "g_key": each.change.key}
        for each in last.values()
        if each.change.value is None
    ]
    (_SQLITE_UPSERT if tx.is_sqlite else _POSTGRES_UPSERT).execute(tx.connection, kept)
    _DELETE.execute(tx.connection, removed)


# Above every revision: what a version is set to once the group itself has written the key.
_LATER = 1 << 62


def _next_revision(tx: Transaction, task_name: str) -> tuple[UUID, int]:
    row = tx.connection.execute(
        update(task)
        .where(task.c.name == task_name, task.c.deleted_at.is_(None))
        .values(kv_revision=task.c.kv_revision + 1)
        .returning(task.c.id, task.c.kv_revision)
    ).one_or_none()
    if row is None:
        raise missing_task(task_name)
    return row.id, row.kv_revision


def _live_version(tx: Transaction, owner: UUID, key: str) -> int | None:
    wanted = _live(tx.now).where(kv.c.task_id == owner, kv.c.key == key)
    row = tx.connection.execute(wanted).one_or_none()
    return None if row is None else row.version


def _check_expected(expected: Expected | None, owner: UUID, present: int | None, key: str) -> None:
    if expected is None:
        return
    wrong_task = expected.task_id is not None and expected.task_id != owner
    if wrong_task or expected.version != present:
        there = "it is not there" if present is None else f"it has version {present}"
        raise PreconditionFailed(
            f"Entry {key!r} is not as you expect: {there}.", present={"version": present}
        )


def _live(now: datetime) -> Select[Any]:
    return select(kv).where(or_(kv.c.expires_at.is_(None), kv.c.expires_at > now))


def _expiry(change: KvChange, now: datetime) -> datetime | None:
    return None if change.ttl is None else now + change.ttl


def _to_row(each: Write, now: datetime) -> dict[str, Any]:
    return {
        "task_id": each.task_id,
        "key": each.change.key,
        "value": each.change.value,
        "content_type": JSON_TYPE,
        "version": each.version,
        "updated_at": now,
        "updated_by": each.by,
        "expires_at": _expiry(each.change, now),
    }


def _to_entry(row: Any) -> KvEntry:
    return KvEntry(
        key=row.key,
        value=row.value,
        content_type=row.content_type,
        version=row.version,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        expires_at=row.expires_at,
    )


def _upsert(insert: Any) -> Bulk:
    changing = ("value", "content_type", "version", "updated_at", "updated_by", "expires_at")
    upsert = insert.on_conflict_do_update(
        index_elements=["task_id", "key"], set_={name: insert.excluded[name] for name in changing}
    )
    return Bulk(upsert, ("task_id", "key", *changing))


_SQLITE_UPSERT = _upsert(sqlite.insert(kv))
_POSTGRES_UPSERT = _upsert(postgresql.insert(kv))
_DELETE = Bulk(
    delete(kv).where(kv.c.task_id == bindparam("g_task_id"), kv.c.key == bindparam("g_key"))
)
_DELETE_EXPIRED = Bulk(
    delete(kv).where(
        kv.c.task_id == bindparam("g_task_id"),
        kv.c.key == bindparam("g_key"),
        kv.c.expires_at <= bindparam("g_now"),
    )
)
