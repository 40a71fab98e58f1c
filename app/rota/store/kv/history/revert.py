"""Reverting a key-value table: computed on a snapshot, written if the table has not changed meanwhile."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from operator import eq
from sys import maxsize
from typing import Any

from sqlalchemy import Connection, select

from rota.db.command import Command, Transaction
from rota.db.tables import kv, task
from rota.domain.kv.entries import KvLimits, check_key
from rota.domain.kv.operations import Delete, Operation, Set
from rota.domain.kv.present import Present
from rota.domain.kv.schemas import DoesNotFit
from rota.domain.primitives.ids import Id
from rota.errors import Conflict, Invalid, Sealed
from rota.store.kv.history.changed_since import entries_changed_since
from rota.store.kv.history.moments import Moment, known_from, revision_of
from rota.store.kv.history.reading import HistoricEntry, values_of, was_live
from rota.store.kv.planned_write import is_own
from rota.store.kv.transactions import write_entries
from rota.store.sealing.sealed_values import open_value
from rota.store.task_rows import missing_task, task_id

_TOGETHER = 100
# How many of the keys that are not known any more an error names.
_NAMED = 100


class TableChanged(Conflict):
    """The table was written to since the reversion was computed."""


@dataclass(frozen=True, slots=True)
class Reversion:
    """What makes a table (at `revision`) as it was at a moment: entries to be set, and keys to be removed."""

    task_id: Id
    revision: int
    moment: Moment
    entries: Mapping[str, Present]
    removed: Sequence[str]


def compute_reversion(
    connection: Connection, task_name: str, moment: Moment, now: datetime
) -> Reversion:
    """Compute how a table becomes again what it was. Entries that have expired since then stay away.

    Raises NotFound for the task, Conflict with the keys that the history does not reach back for.
    """
    owner = task_id(connection, task_name)
    changed = [*entries_changed_since(connection, owner, moment.revision)]
    _check_known(connection, owner, moment, changed)
    wanted = [each.version for each in changed if _is_restored(each, moment, now)]
    rows = values_of(connection, owner, wanted)
    entries = {key: to_present(connection, row) for key, row in rows.items()}
    return Reversion(
        task_id=owner,
        revision=revision_of(connection, owner),
        moment=moment,
        entries=differing(connection, owner, entries),
        removed=[each.key for each in changed if each.present and each.key not in entries],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Revert(Command[int]):
    """Write a reversion as one revision of the table; return its number.

    Raises TableChanged, NotFound, Conflict if it does not fit the limits, Invalid if it does not fit the schema.
    """

    task: str
    reversion: Reversion
    by: str
    limits: KvLimits

    def apply(self, tx: Transaction) -> int:
        made = self.reversion
        same = select(task.c.kv_revision).where(
            task.c.id == made.task_id, task.c.deleted_at.is_(None)
        )
        revision = tx.connection.execute(same.with_for_update()).scalar_one_or_none()
        if revision is None:
            raise missing_task(self.task)
        if revision != made.revision:
            raise TableChanged("The table was written to just now; try again.")
        self._check_keys()
        operations = [*map(Delete, made.removed), *to_operations(made.entries, tx.now)]
        if operations:
            # What was taken once is taken again, however small a value is to be by now.
            limits = replace(self.limits, value_bytes=maxsize)
            try:
                write_entries(tx, made.task_id, operations, self.by, limits)
            except DoesNotFit as error:
                # Its pointer is into a request that the client did not make.
                raise Invalid(error.detail.partition(": ")[2], slug=error.slug) from None
        return revision_of(tx.connection, made.task_id)

    def _check_keys(self) -> None:
        """Raise Invalid if a key that comes back is not to be written here any more; those of Rota always are."""
        for key in self.reversion.entries:
            if not is_own(key):
                check_key(key, self.limits)


def differing(
    connection: Connection,
    owner: Id,
    entries: Mapping[str, Present],
    is_same: Callable[[Present | None, Present], bool] = eq,
) -> dict[str, Present]:
    """Return those of the entries that are not in the table as they are here: value, type and when they expire."""
    found: dict[str, Present] = {}
    keys = iter(entries)
    while some := list(islice(keys, _TOGETHER)):
        there = select(kv).where(kv.c.task_id == owner, kv.c.key.in_(some))
        rows = {row.key: _as_it_is(connection, row) for row in connection.execute(there)}
        found |= {key: entries[key] for key in some if not is_same(rows.get(key), entries[key])}
    return found


def to_present(connection: Connection, row: Any) -> Present:
    """Return what a row of `kv` or `kv_history` holds, whenever and by whom it was written; raises Sealed."""
    return Present(open_value(connection, row), row.content_type, row.expires_at)


def _as_it_is(connection: Connection, row: Any) -> Present | None:
    """Return what an entry holds; None if it does not open, so that it is written again."""
    try:
        return to_present(connection, row)
    except Sealed:
        return None


def to_operations(entries: Mapping[str, Present], now: datetime) -> Iterator[Operation]:
    """Yield what writes these entries; those that expire do it when they say."""
    for key, each in entries.items():
        ttl = None if each.expires_at is None else each.expires_at - now
        yield Set(key, each.value, ttl, each.content_type)


def _is_restored(each: HistoricEntry, moment: Moment, now: datetime) -> bool:
    return was_live(each.version, moment.at) and was_live(each.version, now)


def _check_known(
    connection: Connection, owner: Id, moment: Moment, changed: Iterable[HistoricEntry]
) -> None:
    missing = [each.key for each in changed if not each.known]
    earliest = known_from(connection, owner)
    if not missing and moment.revision >= earliest:
        return
    named = ", ".join(map(repr, missing[:3])) + (", …" if len(missing) > 3 else "")
    raise Conflict(
        f"The history does not reach back to revision {moment.revision}: it is not known any more what was under "
        f"{named or 'keys that are forgotten themselves'}.",
        slug="history-too-short",
        present={"missing": missing[:_NAMED], "known_from": earliest},
    )
