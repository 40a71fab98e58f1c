"""`rota key` for a service that runs: API keys over the API, with a key that has the scope admin."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from rota.cli.exits import CommandFailed
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
from rota.cli.output import Json, note, print_fields, print_json, print_table
from rota.cli.registry import group_of_commands
from rota.cli.remote.arguments import given, local_now
from rota.cli.remote.service import at, connected
from rota.cli.remote.text.times import local, parse_span, relative, wire

group = group_of_commands("API keys, of a service that runs.")

_COLUMNS = ("id", "name", "status", "scopes", "tasks", "queues", "rate", "expires", "last used")


@group.command()
def create(
    context: typer.Context,
    name: Name,
    scope: Scopes,
    task_prefix: TaskPrefixes = None,
    queue: QueuePrefixes = None,
    rate: Rate = None,
    max_tasks: MaxTasks = None,
    max_unfinished_runs: MaxUnfinishedRuns = None,
    max_kv_bytes: MaxKvBytes = None,
    expires: Expires = None,
    as_json: Json = False,
) -> None:
    """Make a key, and print it: it is not shown again."""
    body = given(
        name=name,
        scopes=split(scope),
        tasks=split(task_prefix),
        queues=split(queue),
        rate=rate,
        max_tasks=max_tasks,
        max_unfinished_runs=max_unfinished_runs,
        max_kv_bytes=max_kv_bytes,
        expires_at=_instant(expires),
    )
    with connected(context) as service:
        made = service.call("POST", at("keys"), body=body)
    _print(made, as_json=as_json)


@group.command("list")
def list_keys(
    context: typer.Context,
    every: Every = False,
    as_json: Json = False,
) -> None:
    """List the keys, without their secrets."""
    with connected(context) as service:
        found = [each for each in service.pages(at("keys")) if every or each["status"] == "active"]
    if as_json:
        print_json(found)
        return
    now = local_now()
    print_table(_COLUMNS, (_row(each, now) for each in found), empty="There are no such keys.")


@group.command("self")
def show_own(context: typer.Context, as_json: Json = False) -> None:
    """Show what the key that is used here may do."""
    with connected(context) as service:
        found = service.get(at("keys", "self"))
    if as_json:
        print_json(found)
    else:
        print_fields({name: _joined(value) for name, value in found.items()})


@group.command()
def rotate(
    context: typer.Context,
    id: Id,
    overlap: Annotated[
        str | None, typer.Option(help="How long the secret before is accepted as well.")
    ] = None,
    expires: NewExpiry = None,
    as_json: Json = False,
) -> None:
    """Give a key another secret, and print the key: it is not shown again."""
    body = given(overlap=overlap, expires_at=_instant(expires))
    with connected(context) as service:
        made = service.call("POST", at("keys", id, "rotate"), body=body)
    _print(made, as_json=as_json)


@group.command()
def revoke(context: typer.Context, id: Id) -> None:
    """Revoke a key for good. Within a second no replica accepts it, and what it keeps open has ended."""
    with connected(context) as service:
        service.call("DELETE", at("keys", id))
    typer.echo(f"The key {id} is revoked.")


def _print(made: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a key on the standard output, alone, so that it can be piped; the rest goes beside."""
    if as_json:
        print_json(made)
        return
    typer.echo(made["key"])
    note(f"This is the key {made['id']} ({made['name']}). It is not shown again.")


def _row(key: Mapping[str, Any], now: datetime) -> tuple[object, ...]:
    return (
        key["id"],
        key["name"],
        key["status"],
        _joined(key["scopes"]),
        _joined(key["tasks"]),
        _joined(key["queues"]),
        key["rate"],
        None if key["expires_at"] is None else local(key["expires_at"]),
        relative(key["last_used_at"], now),
    )


def _joined(value: Any) -> object:
    return ",".join(value) if isinstance(value, list) else value


def _instant(text: str | None) -> str | None:
    """Return when a key expires: a length of time counts from now on."""
    if text is None:
        return None
    span = parse_span(text)
    if span is not None:
        return wire(local_now() + span)
    try:
        at_time = datetime.fromisoformat(text)
    except ValueError:
        at_time = None
    if at_time is None or at_time.tzinfo is None:
        raise CommandFailed(
            f"--expires is a duration such as 90d, or a time with an offset, not {text!r}."
        )
    return text
