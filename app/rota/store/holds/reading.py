"""Holds as clients see them, and as passes need them: in memory, read again when they have changed.

A statement that is executed anyway takes `VERSION` along, which changes with every change of holds; `holds_at` then
reads them only if it has changed. So a pass costs no additional statement, on each replica.
"""

from datetime import datetime

from sqlalchemy import Connection, func, or_, select

from rota.db.connection_state.known_holds import known_holds_of
from rota.db.tables import hold
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.holds.held import Holds, HoldsVersion
from rota.errors import NotFound
from rota.store.holds.rows import StoredHold, to_hold, to_stored

#: The version of the holds, as two columns of a statement about something else: the number changes if a row is removed,
#: the time with each other change (`SetHold` and `EndHold` let it rise).
VERSION = (
    select(func.count()).select_from(hold).scalar_subquery().label("holds_number"),
    select(func.max(hold.c.updated_at)).scalar_subquery().label("holds_changed_at"),
)
_VERSION = select(*VERSION)
_MATTERING = select(hold).order_by(hold.c.starts_at, hold.c.id)


def find_hold(connection: Connection, name: str, tasks: NameLimit = UNLIMITED) -> StoredHold:
    """Return the hold of this name, also one that has ended by itself; raises NotFound, also if `tasks` hides it."""
    this = select(hold).where(hold.c.name == name, hold.c.closed_at.is_(None))
    row = connection.execute(this).mappings().one_or_none()
    found = None if row is None else to_stored(row)
    if found is None or not found.hold.is_within(tasks):
        raise missing_hold(name)
    return found


def list_holds(
    connection: Connection,
    after: tuple[str, str] | None,
    limit: int,
    tasks: NameLimit = UNLIMITED,
    *,
    lasting_after: datetime | None = None,
) -> list[StoredHold]:
    """Return up to `limit` holds by name and id, behind those of `after`.

    `tasks`: only those that select tasks with such names only. `lasting_after`: only those that last, or begin, after
    that time; without it also those that have ended. There are few holds: all of them are read.
    """
    listing = select(hold).order_by(hold.c.name, hold.c.id)
    if after is not None:
        listing = listing.where(hold.c.name >= after[0])
    if lasting_after is not None:
        lasts = or_(hold.c.ends_at.is_(None), hold.c.ends_at > lasting_after)
        listing = listing.where(hold.c.closed_at.is_(None), lasts)
    found = (
        stored
        for stored in map(to_stored, connection.execute(listing).mappings())
        if stored.hold.is_within(tasks)
        and (after is None or (stored.hold.name, stored.hold.id) > after)
    )
    return [stored for stored, _ in zip(found, range(limit), strict=False)]


def holds_that_matter(connection: Connection) -> Holds:
    """Return all holds: those to come, those that last, and those that have ended and are still kept.

    One statement, and a second one if they have changed since this process read them last.
    """
    return holds_at(connection, holds_version(connection))


def holds_at(connection: Connection, version: HoldsVersion) -> Holds:
    """Return the holds of a version that was read in this transaction: from memory if they have not changed."""
    known = known_holds_of(connection)
    holds = known.latest
    if holds.version != version:
        rows = connection.execute(_MATTERING).mappings()
        holds = known.latest = Holds(tuple(map(to_hold, rows)), version)
    return holds


def holds_version(connection: Connection) -> HoldsVersion:
    """Return the version of the holds, by a statement of its own."""
    return HoldsVersion._make(connection.execute(_VERSION).one())


def missing_hold(name: str) -> NotFound:
    """Return the error for a name that no hold has."""
    return NotFound(f"There is no hold {name!r}.")
