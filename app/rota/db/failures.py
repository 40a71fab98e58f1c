"""Errors of the database: whether they concern one command or all, and the messages about them."""

import sqlite3
from enum import StrEnum
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from rota.errors import Locked, Unavailable

# PostgreSQL's codes for a command that met another transaction: a lock timeout, a deadlock, and a serialization
# failure. The same command may succeed when repeated; nothing of it was stored.
_MET_LOCK = frozenset({"55P03", "40P01", "40001"})
# A name or a key that another replica has taken since it was read (a second read finds it).
_TAKEN = "23505"
# Data or an index cannot be read.
_DAMAGED = frozenset({"XX001", "XX002"})
_DAMAGED_SQLITE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_READ_ONLY = "25006"
# Tables or privileges are missing: the database is not set up, which is no error of a statement.
_NOT_SET_UP = frozenset({"42P01", "42703", "42501", "3F000"})
# The low byte of SQLite's codes is the primary code; the others refine it.
_PRIMARY = 0xFF
_LONGEST = 300


class Fate(StrEnum):
    """The result of a failed write, as messages name it."""

    NOT_STORED = "was not stored"
    IN_DOUBT = "may or may not have been stored"


def met_lock(error: BaseException) -> bool:
    """Return whether a command met a lock of another transaction, and its savepoint can be rolled back."""
    return (
        isinstance(error, DBAPIError)
        and not error.connection_invalidated
        and _code(error) in _MET_LOCK
    )


def is_transient(error: BaseException) -> bool:
    """Return whether the same transaction may succeed when repeated; that is safe, since nothing was committed."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or _code(error) == _TAKEN or met_lock(error)
    )


def concerns_one(error: BaseException) -> bool:
    """Return whether the transaction can continue without the command that failed.

    If PostgreSQL gives a reason and the connection is alive, a savepoint can be rolled back. SQLite may have rolled
    back the whole transaction (when the disk is full, for example), unless the statement itself is wrong.
    """
    if not isinstance(error, DBAPIError):
        return True
    if error.connection_invalidated:
        return False
    if isinstance(error.orig, sqlite3.Error):
        return not (is_damage(error) or isinstance(error.orig, sqlite3.OperationalError))
    return _code(error) is not None or not is_outage(error)


def is_outage(error: BaseException) -> bool:
    """Return whether the database failed: no constraint was violated, and the statement is not wrong."""
    if not isinstance(error, DBAPIError) or isinstance(error, (IntegrityError, DataError)):
        return False
    return not isinstance(error, ProgrammingError) or _code(error) in _NOT_SET_UP


def is_damage(error: BaseException) -> bool:
    """Return whether a part of the database cannot be read any more."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    return _code_of(orig) in _DAMAGED or _sqlite_code(orig) in _DAMAGED_SQLITE


def is_read_only(error: BaseException) -> bool:
    """Return whether the database is read-only."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    return _code_of(orig) == _READ_ONLY or _sqlite_code(orig) == sqlite3.SQLITE_READONLY


def place_of(url: URL) -> str:
    """Return the location of a database, without the user and the password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = str(url.query.get("host") or url.host or "localhost")
    port = f":{url.port}" if url.port else ""
    return f"{host}{port}/{url.database or ''}"


def reason(error: BaseException, url: URL) -> str:
    """Return the first line of the driver's message, without the password and a full stop."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    lines = str(orig).strip().splitlines() or [type(orig).__name__]
    message = lines[0].strip().rstrip(".")
    if url.password:
        message = message.replace(str(url.password), "***")
    return message[:_LONGEST]


def not_read(error: BaseException, url: URL) -> Unavailable:
    """Return the error for a failed read."""
    why, place = reason(error, url), place_of(url)
    if is_damage(error):
        return Unavailable(damaged(place, why))
    return Unavailable(f"The database {place} does not answer: {why}.")


def not_written(error: BaseException | None, url: URL, fate: Fate) -> Unavailable:
    """Return the error for a failed write, None: for an unknown reason."""
    if error is None:
        return Unavailable(f"The database did not take the write; it {fate}.")
    why = reason(error, url)
    if is_damage(error):
        return Unavailable(f"{damaged(place_of(url), why)} The write {fate}.")
    if is_read_only(error):
        return Unavailable(f"The database {place_of(url)} is read-only ({why}): the write {fate}.")
    if met_lock(error):
        return Locked(
            f"What it changes is locked by another transaction ({why}); the write {fate}."
        )
    return Unavailable(f"The database did not take the write ({why}); it {fate}.")


def damaged(place: str, why: str) -> str:
    """Return the message for a damaged database."""
    return f"The database {place} is damaged ({why}); restore it from a backup."


def _code(error: DBAPIError) -> str | None:
    return _code_of(error.orig)


def _code_of(orig: Any) -> str | None:
    return getattr(orig, "sqlstate", None)


def _sqlite_code(orig: Any) -> int | None:
    code = getattr(orig, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY
