"""Changes of holds: set, changed, ended. No task is written: whoever plans or claims looks at the holds.

What a hold has covered stays covered: the row of one that is ended, or that selects other tasks from now on, keeps the
span up to now. Setting a hold is one insert, whatever the number of tasks.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, text, update

from rota.db.command import Command, StaleError, Transaction
from rota.db.connection_state.known_holds import known_holds_of
from rota.db.tables import hold
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.effects import HoldAnnounced, HoldEvent, HoldsChanged
from rota.domain.fire_time import TICK
from rota.domain.holds.model import HeldFireTimes, HoldSelector
from rota.domain.primitives.ids import new_id
from rota.domain.primitives.times.instants import format_instant
from rota.errors import Fault, Invalid
from rota.store.holds.reading import holds_version, missing_hold
from rota.store.holds.rows import Row, StoredHold, selector_columns, to_stored
from rota.store.task_changes import SERVICE

# Holds change one after another on all replicas, so that each change has a version of its own.
_LOCK = text("LOCK TABLE hold IN SHARE ROW EXCLUSIVE MODE")
_OPEN = hold.c.closed_at.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHold(Command[tuple[StoredHold, bool]]):
    """Set a hold, or change the one of this name; return it, and whether it is new.

    What was planned or skipped stays. Without `starts_at` it starts now, or stays at the start that it has. One that
    has ended by itself makes room for a new one. Raises Invalid for a span without a future, and NotFound if the name
    has a hold that `limit` hides.
    """

    name: str
    selector: HoldSelector
    fire_times: HeldFireTimes
    by: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    reason: str | None = None
    #: The tasks that the client may see; the selector has its own limit.
    limit: NameLimit = UNLIMITED

    def apply(self, tx: Transaction) -> tuple[StoredHold, bool]:
        row = _find(tx, self.name, self.limit)
        if row is not None and row["ends_at"] is not None and row["ends_at"] <= tx.now:
            _rewrite(tx, row, closed_at=tx.now, updated_at=_stamp(tx))
            _announce(tx, HoldEvent.ENDED, to_stored(row), SERVICE)
            row = None
        if row is None:
            return self._insert(tx, self._declared(tx, tx.now)), True
        declared = self._declared(tx, row["starts_at"])
        if all(declared[name] == row[name] for name in _DECLARED):
            return to_stored(row), False
        if self._leaves(row, declared, tx.now):
            close = {"ends_at": tx.now, "closed_at": tx.now, "updated_at": _stamp(tx)}
            _rewrite(tx, row, **close)
            kept = {name: row[name] for name in ("created_at", "created_by")}
            return self._insert(tx, declared | kept | {"updated_at": _stamp(tx)}), False
        changed = _rewrite(tx, row, **declared)
        _announce(tx, HoldEvent.SET, changed, self.by)
        return changed, False

    def _declared(self, tx: Transaction, start: datetime) -> dict[str, Any]:
        starts_at = self.starts_at or start
        _check_span(starts_at, self.ends_at, tx.now)
        return {
            **selector_columns(self.selector),
            "starts_at": starts_at,
            "ends_at": self.ends_at,
            "fire_times": self.fire_times,
            "reason": self.reason,
            "updated_at": _stamp(tx),
            "updated_by": self.by,
        }

    def _leaves(self, row: Row, declared: Row, now: datetime) -> bool:
        """Return whether it stops covering something that it has covered: the row with that is kept."""
        selects_others = any(declared[name] != row[name] for name in ("selector", "prefixes"))
        starts_later: bool = declared["starts_at"] > row["starts_at"]
        return row["starts_at"] < now and (selects_others or starts_later)

    def _insert(self, tx: Transaction, declared: dict[str, Any]) -> StoredHold:
        made = {"id": new_id(tx.now), "name": self.name, "closed_at": None} | declared
        made = {"created_at": tx.now, "created_by": self.by} | made
        tx.connection.execute(insert(hold).values(made))
        _note_change(tx)
        _announce(tx, HoldEvent.SET, to_stored(made), self.by)
        return to_stored(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndHold(Command[StoredHold]):
    """End a hold now, or remove one that has not started; return it as it was. Raises NotFound.

    The row of one that has started keeps the span that it has covered, under no name.
    """

    name: str
    by: str
    limit: NameLimit = UNLIMITED

    def apply(self, tx: Transaction) -> StoredHold:
        row = _find(tx, self.name, self.limit)
        if row is None:
            raise missing_hold(self.name)
        _announce(tx, HoldEvent.ENDED, to_stored(row), self.by)
        if row["starts_at"] >= tx.now:
            _remove(tx, row)
            return to_stored(row)
        ends_at = min(row["ends_at"] or tx.now, tx.now)
        ended = {"ends_at": ends_at, "closed_at": tx.now}
        _rewrite(tx, row, **ended, updated_at=_stamp(tx), updated_by=self.by)
        return to_stored(row)


def unchanged_since(row: Row) -> ColumnElement[bool]:
    """Guard: a concurrent change of the hold wins."""
    same: ColumnElement[bool] = hold.c.updated_at == row["updated_at"]
    return same


_DECLARED = ("selector", "prefixes", "starts_at", "ends_at", "fire_times", "reason")


def _find(tx: Transaction, name: str, limit: NameLimit) -> Row | None:
    """Return the row of a name, locked against changes by other replicas; raises NotFound if a limit hides it."""
    if not tx.is_sqlite:
        tx.connection.execute(_LOCK)
    found = tx.connection.execute(select(hold).where(hold.c.name == name, _OPEN))
    row = found.mappings().one_or_none()
    if row is not None and not to_stored(row).hold.is_within(limit):
        raise missing_hold(name)
    return row


def _rewrite(tx: Transaction, row: Row, **changes: Any) -> StoredHold:
    these = (hold.c.id == row["id"], _OPEN, unchanged_since(row))
    if tx.connection.execute(update(hold).where(*these).values(changes)).rowcount != 1:
        raise _changed(row)
    _note_change(tx)
    return to_stored({**row, **changes})


def _remove(tx: Transaction, row: Row) -> None:
    these = (hold.c.id == row["id"], _OPEN, unchanged_since(row))
    if tx.connection.execute(delete(hold).where(*these)).rowcount != 1:
        raise _changed(row)
    _note_change(tx)


def _note_change(tx: Transaction) -> None:
    """Let what was planned with the holds as they were be planned again."""
    known_holds_of(tx.connection).written = holds_version(tx.connection)
    tx.effects.append(HoldsChanged())


def _announce(tx: Transaction, what: HoldEvent, of: StoredHold, by: str) -> None:
    tx.effects.append(HoldAnnounced(what, of.hold, by))


def _stamp(tx: Transaction) -> datetime:
    """Return the time of a change, later than that of every other: no two versions of the holds have the same."""
    latest = tx.connection.execute(select(func.max(hold.c.updated_at))).scalar_one()
    return tx.now if latest is None else max(tx.now, latest + TICK)


def _check_span(starts_at: datetime, ends_at: datetime | None, now: datetime) -> None:
    if ends_at is None:
        return
    if ends_at <= starts_at:
        raise _wrong_end(f"give a time after the start, {format_instant(starts_at)}")
    if ends_at <= now:
        raise _wrong_end("give a time in the future: a hold that has ended holds nothing")


def _wrong_end(detail: str) -> Invalid:
    return Invalid(f"/until: {detail}.", Fault("/until", detail))


def _changed(row: Row) -> StaleError:
    return StaleError(f"the hold {row['name']!r} was changed by another replica")
