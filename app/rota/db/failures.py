"""What a database says when it fails: whether it concerns one command or all, and how to tell people."""

import sqlite3
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
)

from rota.errors import Locked, Unavailable

# PostgreSQL's codes for a command that met somebody else: a lock that was not to be had in time, a deadlock, and what
# could not be serialised. The same again may well succeed; nothing of it was kept.
_MET_OTHERS = frozenset({"55P03", "40P01", "40001"})
# A name or a key that another replica has taken since we looked (the second look sees it).
_TAKEN = "23505"
# Data or an index cannot be read.
_DAMAGED = frozenset({"XX001", "XX002"})
_DAMAGED_SQLITE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_READ_ONLY = "25006"
# Tables or rights are missing: the database is not the one that was set up, which is no fault in a statement.
_NOT_SET_UP = frozenset({"42P01", "42703", "42501", "3F000"})
# The low byte of SQLite's codes; the others say more of the same.
_PRIMARY = 0xFF
_LONGEST = 300


def met_others(error: BaseException) -> bool:
    """Whether a command met somebody else's lock, and its savepoint can be rolled back."""
    return (
        isinstance(error, DBAPIError)
        and not error.connection_invalidated
        and _code(error) in _MET_OTHERS
    )


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction again may well succeed; safe, since nothing was committed."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or _code(error) == _TAKEN or met_others(error)
    )


def concerns_one(error: BaseException) -> bool:
    """Whether the transaction can go on without the command that failed.

    PostgreSQL tells its reason, and the connection is there: a savepoint can be rolled back. SQLite may have rolled
    the whole transaction back (a full disk, say), unless the statement itself is at fault.
    """
    if not isinstance(error, DBAPIError):
        return True
    if error.connection_invalidated:
        return False
    if isinstance(error.orig, sqlite3.Error):
        return not (is_damage(error) or isinstance(error.orig, sqlite3.OperationalError))
    return _code(error) is not None or not is_outage(error)


def is_outage(error: BaseException) -> bool:
    """Whether it is the database that fails, not a constraint that holds, nor a fault in what it was asked."""
    if not isinstance(error, DBAPIError) or isinstance(error, (IntegrityError, DataError)):
        return False
    return not isinstance(error, ProgrammingError) or _code(error) in _NOT_SET_UP


def is_damage(error: BaseException) -> bool:
    """Whether a part of the database cannot be read any more."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    return _code_of(orig) in _DAMAGED or _sqlite_code(orig) in _DAMAGED_SQLITE


def is_read_only(error: BaseException) -> bool:
    """Whether the database takes no writes."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    return _code_of(orig) == _READ_ONLY or _sqlite_code(orig) == sqlite3.SQLITE_READONLY


def place_of(url: URL) -> str:
    """Return where a database is, without the user and the password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = str(url.query.get("host") or url.host or "localhost")
    port = f":{url.port}" if url.port else ""
    return f"{host}{port}/{url.database or ''}"


def reason(error: BaseException, url: URL) -> str:
    """Return the first line of what the driver says, without the password."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    lines = str(orig).strip().splitlines() or [type(orig).__name__]
    said = lines[0].strip().rstrip(".")
    if url.password:
        said = said.replace(str(url.password), "***")
    return said[:_LONGEST]


def not_read(error: BaseException, url: URL) -> Unavailable:
    """Return what to tell whoever wanted to read."""
    said, place = reason(error, url), place_of(url)
    if is_damage(error):
        return Unavailable(damaged(place, said))
    return Unavailable(f"The database {place} does not answer: {said}.")


def not_written(error: BaseException | None, url: URL, fate: str) -> Unavailable:
    """Return what to tell whoever wanted to write; `fate` says what became of the write."""
    if error is None:
        return Unavailable(f"The database did not take the write; it {fate}.")
    said = reason(error, url)
    if is_damage(error):
        return Unavailable(f"{damaged(place_of(url), said)} The write {fate}.")
    if is_read_only(error):
        return Unavailable(f"The database {place_of(url)} is read-only ({said}): the write {fate}.")
    if met_others(error):
        return Locked(f"What it changes is locked by somebody else ({said}); the write {fate}.")
    return Unavailable(f"The database did not take the write ({said}); it {fate}.")


def damaged(place: str, said: str) -> str:
    """Return what to tell of a database of which a part cannot be read."""
    return f"The database {place} is damaged ({said}); restore it from a backup."


def _code(error: DBAPIError) -> str | None:
    return _code_of(error.orig)


def _code_of(orig: Any) -> str | None:
    return getattr(orig, "sqlstate", None)


def _sqlite_code(orig: Any) -> int | None:
    code = getattr(orig, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY
