"""`rota key`: API keys, made and revoked on the database itself, so that the first one needs no service and no key."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

import typer
from pydantic_core import PydanticCustomError

from rota.api.http.validation import validated
from rota.api.keys.request_models import DEFAULT_OVERLAP, KeyIn, RotateKeyIn
from rota.cli.key_options import (
    Every,
    Expires,
    Id,
    MaxKvBytes,
    MaxTasks,
    MaxUnfinishedRuns,
    Name,
    NewExpiry,
    QueuePrefixes,
    Rate,
    Scopes,
    TaskPrefixes,
    split,
)
from rota.cli.local.database.opened import commit, database_of
from rota.cli.local.terminal import announce, refusal, settings_of
from rota.cli.registry import group_of_commands
from rota.clock import SystemClock
from rota.db.engine import Database
from rota.domain.access.stored_key import KeyStatus, StoredKey
from rota.domain.audit.actions import Action
from rota.domain.audit.author import Author
from rota.domain.primitives.times.durations import parse_duration
from rota.domain.primitives.times.instants import format_instant, parse_instant
from rota.errors import AppError, InUse, Invalid
from rota.settings import Settings
from rota.store.access.changes import MadeKey, RevokeKey, RotateKey
from rota.store.access.reading import has_kept_keys, list_keys
from rota.store.audit.keys import change, creation

group = group_of_commands("API keys.")

#: Who has made or revoked a key, as its row shows it.
BY = "cli"
_OPTIONS = {
    "name": "--name",
    "scopes": "--scope",
    "tasks": "--task-prefix",
    "queues": "--queue",
    "rate": "--rate",
    "max_tasks": "--max-tasks",
    "max_unfinished_runs": "--max-unfinished-runs",
    "max_kv_bytes": "--max-kv-bytes",
    "expires_at": "--expires",
    "overlap": "--overlap",
}
_PAGE = 500
_FIRST = (
    "It is the first one: from now on every request needs a key, and from the next start on tasks may not call "
    "services of this machine, unless ROTA_HTTP_TARGETS allows it."
)
_DATED = re.compile(r"\d{4}-")
_A_TIME = "a time as RFC 3339 with an offset, such as 2027-05-25T08:00:00Z"


@group.command()
def create(
    name: Name,
    scope: Scopes,
    task_prefix: TaskPrefixes = None,
    queue: QueuePrefixes = None,
    rate: Rate = None,
    max_tasks: MaxTasks = None,
    max_unfinished_runs: MaxUnfinishedRuns = None,
    max_kv_bytes: MaxKvBytes = None,
    expires: Expires = None,
) -> None:
    """Make a key, and print it: it is not shown again."""
    given = {
        "name": name,
        "scopes": split(scope),
        "tasks": split(task_prefix),
        "queues": split(queue),
        "rate": rate,
        "max_tasks": max_tasks,
        "max_unfinished_runs": max_unfinished_runs,
        "max_kv_bytes": max_kv_bytes,
        "expires_at": _ahead(expires),
    }
    body = _checked(KeyIn, given)
    command = body.command(BY)
    settings = settings_of()
    with _opened(settings) as database:
        is_first = not settings.api_key and not _has_keys(database)
        _print(commit(database, creation(command, _author())))
    if is_first:
        typer.echo(_FIRST, err=True)


@group.command("list")
def show(
    every: Every = False,
) -> None:
    """List the keys, without their secrets."""
    now = SystemClock().now()
    with _opened(settings_of()) as database:
        found = [each for each in _keys(database) if every or each.status(now) is KeyStatus.ACTIVE]
    rows = [_HEAD, *(_row(each, now) for each in found)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_HEAD))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


@group.command()
def revoke(id: Id) -> None:
    """Revoke a key for good. Within a second no replica accepts it, and what it keeps open has ended."""
    settings = settings_of()
    with _opened(settings) as database:
        revoked = commit(
            database, change(RevokeKey(id=id, by=BY), Action.KEY_REVOKED, id, _author())
        )
    sentence = f"The key {revoked.id} ({revoked.name}) is revoked."
    announce(settings, "key.revoked", sentence, id=revoked.id)


@group.command()
def rotate(
    id: Id,
    overlap: Annotated[
        str, typer.Option(help="How long the secret before is accepted as well.")
    ] = f"{DEFAULT_OVERLAP.days}d",
    expires: NewExpiry = None,
) -> None:
    """Give a key another secret, and print the key: it is not shown again."""
    body = _checked(
        RotateKeyIn,
        {"overlap": overlap, "expires_at": _ahead(expires)},
    )
    command = RotateKey(id=id, overlap=body.overlap, expires_at=body.expires_at)
    with _opened(settings_of()) as database:
        _print(commit(database, change(command, Action.KEY_ROTATED, id, _author())))


def _author() -> Author:
    """Return who changes keys here, for the audit log: whoever may open the database."""
    return Author(principal=BY, request_id=uuid4().hex)


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    """Open the database; exits with what is wrong."""
    try:
        with database_of(settings) as database:
            yield database
    except InUse as error:
        advice = "While the service runs, keys are managed at /v1/keys, with a key that has the scope admin."
        raise refusal(f"{error.detail} {advice}") from None
    except AppError as error:
        raise refusal(error.detail) from None


def _print(made: MadeKey) -> None:
    """Print a key on the standard output, alone, so that it can be piped; the rest goes beside."""
    typer.echo(made.text)
    typer.echo(
        f"This is the key {made.stored.id} ({made.stored.name}). It is not shown again.", err=True
    )


def _has_keys(database: Database) -> bool:
    with database.read() as connection:
        return has_kept_keys(connection)


def _keys(database: Database) -> Iterator[StoredKey]:
    after: tuple[datetime, str] | None = None
    while True:
        with database.read() as connection:
            page = list_keys(connection, after, _PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = (page[-1].created_at, page[-1].id)


_HEAD = ("ID", "NAME", "STATUS", "SCOPES", "TASKS", "QUEUES", "EXPIRES", "LAST USED")


def _row(each: StoredKey, now: datetime) -> tuple[str, ...]:
    return (
        each.id,
        each.name,
        each.status(now),
        ",".join(sorted(each.scopes)),
        _names(each.tasks),
        _names(each.queues),
        "never" if each.expires_at is None else format_instant(each.expires_at),
        "never" if each.last_used_at is None else format_instant(each.last_used_at),
    )


def _names(prefixes: tuple[str, ...] | None) -> str:
    return "all" if prefixes is None else ",".join(f"{prefix}*" for prefix in prefixes)


def _ahead(expires: str | None) -> str | None:
    """Return the instant that is meant by a duration from now, or by an instant; exits for what has passed."""
    if expires is None:
        return None
    now = SystemClock().now()
    try:
        at = now + parse_duration(expires)
    except PydanticCustomError as error:
        at = _instant(expires, str(error))
    if at <= now:
        raise refusal(
            f"--expires: {format_instant(at)} has passed; give a time ahead, or such as 90d."
        )
    return format_instant(at)


def _instant(text: str, otherwise: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError as error:
        why = str(error) if _DATED.match(text) else f"{otherwise}; or give {_A_TIME}"
        raise refusal(f"--expires: {why}") from None


def _checked(model: Any, given: dict[str, Any]) -> Any:
    """Return options as the request that they stand for; exits with the options that are wrong."""
    try:
        return validated(model, given)
    except Invalid as error:
        lines = (f"{_OPTIONS[each.pointer.split('/')[1]]}: {each.detail}" for each in error.faults)
        raise refusal("\n".join(lines)) from None
