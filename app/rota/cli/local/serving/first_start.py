"""What is done before a service starts: a new SQLite file gets its tables, and everything is held if that is wanted."""

from datetime import datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy.engine import URL

from rota.cli.local.database.opened import commit, database_of
from rota.cli.local.terminal import announce
from rota.clock import SystemClock
from rota.db import migrations
from rota.db.engine import Database
from rota.db.engines.sqlite_file import exists
from rota.db.engines.urls import parse_url
from rota.db.inspection import is_empty
from rota.domain.audit.actions import Action, Kind
from rota.domain.audit.author import Author
from rota.domain.holds.model import HeldFireTimes, HoldSelector
from rota.errors import NotFound
from rota.settings import Settings
from rota.store.audit.audited import audited
from rota.store.audit.subjects import Named
from rota.store.holds.changes import SetHold
from rota.store.holds.reading import find_hold
from rota.store.scheduling.due import earliest_due

#: The hold of `rota serve --paused`.
PAUSED = "paused-at-start"
_BY = "cli"


def make_new_file(settings: Settings) -> None:
    """Make the SQLite file with its tables if there is none, and say so; raises AppError."""
    url = parse_url(settings.database_url)
    if not is_new_file(url):
        return
    schema = migrations.upgrade(settings.database_url)
    path = str(Path(str(url.database)).absolute())
    sentence = f"There was no database: {path} is new and empty."
    announce(settings, "database.created", sentence, err=True, path=path, schema=schema)


def is_new_file(url: URL) -> bool:
    """Return whether the database is an SQLite file that is not there, or that a first start left without tables."""
    if url.get_backend_name() != "sqlite" or not exists(url):
        return not exists(url)
    return is_empty(Path(str(url.database).removeprefix("file:")))


def hold_everything(settings: Settings) -> None:
    """Hold every task, also what has become due while no service ran, until the hold is ended. Raises AppError."""
    with database_of(settings) as database:
        command = SetHold(
            name=PAUSED,
            selector=HoldSelector(),
            fire_times=HeldFireTimes.CATCH_UP,
            by=_BY,
            starts_at=_start(database),
            reason="rota serve --paused",
        )
        author = Author(principal=_BY, request_id=uuid4().hex)
        subjects = Named(Kind.HOLD, PAUSED)
        commit(
            database,
            audited(command, author=author, action=Action.HOLD_SET, subjects=subjects),
        )
    sentence = (
        f"Nothing fires and nothing starts, until the hold is ended: DELETE /v1/holds/{PAUSED}"
    )
    announce(settings, "service.paused", sentence, err=True, hold=PAUSED)


def _start(database: Database) -> datetime | None:
    """Return when the hold begins: with the first time that is overdue, so that it is held too; None: as it is."""
    with database.read() as connection:
        try:
            find_hold(connection, PAUSED)
        except NotFound:
            now = SystemClock().now()
            return min(earliest_due(connection) or now, now)
        return None
