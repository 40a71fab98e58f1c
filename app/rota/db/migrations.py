"""Migrations: `rota db upgrade`, and the check of the schema before the service starts."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from rota.db import failures
from rota.db.engine import locked, migrating_engine
from rota.db.engines.urls import parse_url
from rota.errors import Invalid, Unavailable

# In a checkout the folder is at the top level; in a wheel it is inside this package.
_PLACES = (Path(__file__).parents[3] / "alembic", Path(__file__).parent / "alembic")


def upgrade(url: str, revision: str = "head") -> str:
    """Migrate the database to `revision`; return the revision that it has afterwards.

    Raises Unavailable if the database is in use or does not answer, Invalid for an unknown revision.
    """
    parsed = parse_url(url)
    with locked(parsed):
        engine = migrating_engine(parsed)
        try:
            with engine.connect() as connection:
                _refuse_newer(connection)
                _run(connection, revision)
                return current(connection) or ""
        except CommandError as error:
            raise Invalid(f"{error}.") from None
        except DBAPIError as error:
            reason, place = failures.reason(error, parsed), failures.place_of(parsed)
            if failures.is_damage(error):
                raise Unavailable(failures.damaged(place, reason)) from error
            raise Unavailable(f"The database {place} cannot be used: {reason}.") from error
        finally:
            engine.dispose()


def check(connection: Connection) -> None:
    """Raise Unavailable, with the command to run, if the schema is not the one of this version."""
    have, want = current(connection), head()
    if have == want:
        return
    if have is None:
        raise Unavailable("The database has no tables yet. Run `rota db upgrade`.")
    if have not in _known():
        raise _newer(have)
    raise Unavailable(
        f"The database has schema {have}, this version of Rota needs {want}. Run `rota db upgrade`."
    )


def _refuse_newer(connection: Connection) -> None:
    have = current(connection)
    # The query has begun a transaction.
    connection.rollback()
    if have is not None and have not in _known():
        raise _newer(have)


def _newer(have: str) -> Unavailable:
    return Unavailable(
        f"The database has schema {have}, which this version of Rota ({head()}) does not know: a newer one has "
        "upgraded it. Install that version of Rota or a later one, or restore a backup from before the upgrade."
    )


def current(connection: Connection) -> str | None:
    """Return the revision of the database, or None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def head() -> str:
    """Return the revision that this version of Rota needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


@cache
def _known() -> frozenset[str]:
    """Return the revisions that this version of Rota knows."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return frozenset(script.revision for script in scripts)


def _run(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    with connection.begin():
        command.upgrade(config, revision)
        if connection.dialect.name == "sqlite":
            _check_foreign_keys(connection)


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.execute(text("PRAGMA foreign_key_check")).all()
    if broken:
        raise Unavailable(
            f"The migration would break {len(broken)} references; nothing was changed."
        )


def _config() -> Config:
    folder = next(place for place in _PLACES if (place / "env.py").is_file())
    config = Config()
    config.set_main_option("script_location", str(folder))
    return config
