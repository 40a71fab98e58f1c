"""The history of a key-value table: the versions of an entry, and the whole table at an earlier moment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, literal, null, or_, select

from rota.db.tables import kv, kv_history
from rota.domain.kv.entries import KvEntry
from rota.domain.primitives.ids import Id
from rota.errors import NotFound
from rota.store.kv.entries import KvFilter, to_listed_entry
from rota.store.kv.history.moments import Moment, known_from
from rota.store.kv.history.rows import TABLE, is_mark, of_history
from rota.store.task_names import starts_with
from rota.store.task_rows import task_id

#: How many keys one request examines at most.
MOST_EXAMINED = 1_000
#: Values read by one statement.
_TOGETHER = 50

_ABOVE_ALL = 1 << 62


@dataclass(frozen=True, slots=True)
class Version:
    """An entry as a version left it; `deleted`: the version removed it; `is_present`: it is the latest version."""

    entry: KvEntry
    deleted: bool
    is_present: bool


@dataclass(frozen=True, slots=True)
class HistoricEntry:
    """An entry at an earlier moment. `known` is False if the history does not reach back; `version` None: not there.

    `present` is the version that the entry has now.
    """

    key: str
    known: bool
    version: Any = None
    present: int | None = None


@dataclass(frozen=True, slots=True)
class HistoricPage:
    """A page of a table at an earlier moment.

    `missing` are keys whose history does not reach back to it. If `is_whole` is False there may be more of them, whose
    keys are not known either. `position` is the key after which the next page begins; None: this is the last page.
    """

    items: Sequence[KvEntry]
    missing: Sequence[str]
    is_whole: bool
    position: str | None


def list_versions(
    connection: Connection,
    task_name: str,
    key: str,
    before: int | None,
    limit: int,
    *,
    most_bytes: int = _ABOVE_ALL,
) -> tuple[list[Version], bool]:
    """Return up to `limit` versions of an entry below `before`, newest first, and whether there may be older ones.

    Together they have hardly more than `most_bytes`. Raises NotFound for the task, or if the entry has no history.
    """
    owner = task_id(connection, task_name)
    below = before or _ABOVE_ALL
    sizes = _versions(connection, owner, key, below, limit, _size)
    rows = _versions(connection, owner, key, below, _fitting(sizes, most_bytes), _whole)
    if not rows and before is None:
        raise NotFound(f"Nothing is known of an entry {key!r} of task {task_name!r}.")
    mark = select(kv_history.c.version).where(*_of(kv_history, owner, key), is_mark)
    forgotten = connection.execute(mark).first() is not None or known_from(connection, owner) > 0
    return [_to_version(connection, row) for row in rows], forgotten


def list_historic_entries(
    connection: Connection,
    task_name: str,
    moment: Moment,
    wanted: KvFilter,
    *,
    after: str = "",
    limit: int,
    most_bytes: int = _ABOVE_ALL,
    with_values: bool = True,
) -> HistoricPage:
    """Return up to `limit` entries of a table as it was, by key, from `after` on; raises NotFound for the task.

    Rota's own (but `_kv_version`) have no history and are left out. A page may have fewer entries: so many keys are
    examined at in all.
    """
    owner = task_id(connection, task_name)
    examined, position = entries_at_revision(
        connection, owner, moment.revision, wanted, after, MOST_EXAMINED
    )
    found: list[Any] = []
    missing: list[str] = []
    total = 0
    for each in examined:
        if not each.known:
            missing.append(each.key)
        elif was_live(each.version, moment.at):
            found.append(each.version)
            total += each.version.size if with_values else 0
            if (len(found) == limit or total > most_bytes) and each is not examined[-1]:
                position = each.key
                break
    values = values_of(connection, owner, found) if with_values else {}
    items = [to_listed_entry(connection, values.get(row.key, row)) for row in found]
    whole = moment.revision >= known_from(connection, owner)
    return HistoricPage(items, missing, whole, position)


def entries_at_revision(
    connection: Connection, owner: Id, revision: int, wanted: KvFilter, after: str, limit: int
) -> tuple[list[HistoricEntry], str | None]:
    """Return what up to `limit` entries, by key, were at a revision, and the key to continue after, if any."""
    kept = connection.execute(_kept(owner, revision, wanted, after, limit)).all()
    there = connection.execute(_present(owner, wanted, after, limit)).all()
    cut = [rows[-1].key for rows in (kept, there) if len(rows) == limit]
    last = min(cut) if cut else None
    history, present = ({row.key: row for row in rows} for rows in (kept, there))
    keys = sorted(key for key in history.keys() | present.keys() if last is None or key <= last)
    known = revision >= known_from(connection, owner)
    then = [_then(key, history.get(key), present.get(key), revision, known=known) for key in keys]
    return then, last


def was_live(version: Any, at: datetime) -> bool:
    """Return whether a version (None: there was none) is an entry that had not expired."""
    if version is None or version.deleted:
        return False
    return version.expires_at is None or bool(version.expires_at > at)


def values_of(connection: Connection, owner: Id, versions: Sequence[Any]) -> dict[str, Any]:
    """Return the whole rows, by key, of versions that were read without their values."""
    rows: dict[str, Any] = {}
    for table in (kv, kv_history):
        wanted = iter([each for each in versions if each.is_kept == (table is kv_history)])
        while some := list(islice(wanted, _TOGETHER)):
            these = or_(
                *(and_(table.c.key == each.key, table.c.version == each.version) for each in some)
            )
            of_task = select(*_whole(table)).where(table.c.task_id == owner, these)
            rows |= {row.key: row for row in connection.execute(of_task)}
    return rows


def _fitting(rows: Sequence[Any], most_bytes: int) -> int:
    """Return how many of the rows have not many more than `most_bytes` in all: all but the last have fewer."""
    total = 0
    for number, row in enumerate(rows, 1):
        total += row.size
        if total > most_bytes:
            return number
    return len(rows)


def _size(table: Any) -> tuple[Any, ...]:
    return (table.c.size,)


def _versions(
    connection: Connection,
    owner: Id,
    key: str,
    below: int,
    limit: int,
    columns: Callable[[Any], Sequence[Any]],
) -> Sequence[Any]:
    there, kept = (
        select(*columns(table)).where(*_of(table, owner, key), table.c.version < below)
        for table in (kv, kv_history)
    )
    kept = kept.where(~is_mark).order_by(kv_history.c.version.desc()).limit(limit)
    # What is there is newer than all that was.
    return [*connection.execute(there), *connection.execute(kept)][:limit]


def _to_version(connection: Connection, row: Any) -> Version:
    return Version(to_listed_entry(connection, row), row.deleted, not row.is_kept)


def _of(table: Any, owner: Id, key: str) -> tuple[Any, Any]:
    return table.c.task_id == owner, table.c.key == key


def _then(key: str, kept: Any, present: Any, revision: int, *, known: bool) -> HistoricEntry:
    """Put together what is there and what is kept of a key: `kept` has its last version by then, and the last mark."""
    now = None if present is None else present.version
    if present is not None and present.version <= revision:
        return HistoricEntry(key, True, present, now)
    if not known or (kept is not None and kept.forgotten is not None and not _is_after_mark(kept)):
        return HistoricEntry(key, False, None, now)
    there = kept is not None and kept.version is not None
    return HistoricEntry(key, True, kept if there else None, now)


def _is_after_mark(kept: Any) -> bool:
    return kept.version is not None and kept.version > kept.forgotten


def _kept(owner: Id, revision: int, wanted: KvFilter, after: str, limit: int) -> Select[Any]:
    """For each key in the history, its last version up to a revision, without the value, and its mark."""
    by_then = func.max(case((kv_history.c.version <= revision, kv_history.c.version)))
    mark = func.max(case((is_mark, kv_history.c.version)))
    last = (
        _chosen(select(kv_history.c.key, by_then.label("version"), mark.label("forgotten")), wanted)
        .where(kv_history.c.task_id == owner, kv_history.c.key > max(after, TABLE))
        .group_by(kv_history.c.key)
        .order_by(kv_history.c.key)
        .limit(limit)
        .subquery()
    )
    same = and_(
        kv_history.c.task_id == owner,
        kv_history.c.key == last.c.key,
        kv_history.c.version == last.c.version,
    )
    columns = (last.c.key, last.c.version, last.c.forgotten, *_metadata(kv_history))
    return select(*columns).outerjoin_from(last, kv_history, same).order_by(last.c.key)


def _present(owner: Id, wanted: KvFilter, after: str, limit: int) -> Select[Any]:
    there = _chosen(select(kv.c.key, kv.c.version, *_metadata(kv)), wanted, kv)
    return (
        there.where(kv.c.task_id == owner, kv.c.key > after, of_history(kv))
        .order_by(kv.c.key)
        .limit(limit)
    )


def _chosen(base: Select[Any], wanted: KvFilter, table: Any = kv_history) -> Select[Any]:
    key = table.c.key
    if wanted.keys:
        base = base.where(key.in_(wanted.keys))
    if wanted.prefix:
        base = base.where(*starts_with(key, wanted.prefix))
    if wanted.start:
        base = base.where(key >= wanted.start)
    return base.where(key < wanted.end) if wanted.end else base


def _metadata(table: Any) -> tuple[Any, ...]:
    """The columns of a version, without its key, its number and its value."""
    return (
        *(table.c[name] for name in _METADATA),
        table.c.value.is_(None).label("deleted"),
        literal(table is kv_history).label("is_kept"),
        null().label("value"),
    )


def _whole(table: Any) -> tuple[Any, ...]:
    return (table.c.key, table.c.version, *_metadata(table)[:-1], table.c.value)


_METADATA = (
    "task_id",
    "content_type",
    "size",
    "updated_at",
    "updated_by",
    "expires_at",
    "sealed_with",
)
