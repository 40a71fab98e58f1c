"""`rota kv get`, `set`, `delete` and `list`."""

import base64
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from rota.cli.escaping import printable
from rota.cli.exits import CommandFailed
from rota.cli.output import Json, is_terminal, print_json, print_table
from rota.cli.remote.arguments import All, Limit, TaskName, Yes, given, json_argument, local_now
from rota.cli.remote.confirmation import confirm
from rota.cli.remote.one_by_one import change_one_by_one
from rota.cli.remote.service import at, connected
from rota.cli.remote.text.times import relative
from rota.cli.remote.text.values import shortened

Key = Annotated[str, typer.Argument(help="The key of the entry.")]
_Version = Annotated[
    int | None,
    typer.Option(
        "--if-version", min=0, help="Only if the entry has this version; 0: only if there is none."
    ),
]


def get(context: typer.Context, task: TaskName, key: Key, as_json: Json = False) -> None:
    """Print the value of an entry: as JSON, or its bytes. `--json` prints the entry, with its version."""
    with connected(context) as service:
        entry = service.entry(task, key)
    if as_json:
        print_json(entry)
    elif entry.get("encoding") == "base64":
        _print_bytes(base64.b64decode(entry["value"]))
    else:
        print_json(entry["value"])


def _print_bytes(content: bytes) -> None:
    """Write bytes as they are, or to a terminal as a text that does not control it."""
    if is_terminal():
        typer.echo(printable(content.decode("utf-8", "backslashreplace"), lines=True))
    else:
        sys.stdout.buffer.write(content)


def set_value(
    context: typer.Context,
    task: TaskName,
    key: Key,
    value: Annotated[
        str, typer.Argument(help="JSON, or text; `@FILE`; `-` for the standard input.")
    ],
    ttl: Annotated[str | None, typer.Option(help="After how long it expires: 90s, 1h, 7d.")] = None,
    text: Annotated[
        bool, typer.Option("--text", help="The value is text, also if it looks like JSON.")
    ] = False,
    if_version: _Version = None,
    as_json: Json = False,
) -> None:
    """Write an entry."""
    body = given(ttl=ttl) | {"value": value if text else json_argument(value)}
    with connected(context) as service:
        operations: list[dict[str, Any]] = [] if if_version is None else [_check(key, if_version)]
        operations.append({"op": "set", "key": key, **body})
        entry = service.call(
            "POST", at("tasks", task, "kv", "transaction"), body={"operations": operations}
        )["items"][-1]
    if as_json:
        print_json(entry)
    else:
        typer.echo(f"{key} is written, version {entry['version']}.")


def _check(key: str, version: int) -> dict[str, Any]:
    return {"op": "check", "key": key} | ({"version": version} if version else {"absent": True})


def delete(
    context: typer.Context,
    task: TaskName,
    keys: Annotated[
        list[str] | None, typer.Argument(help="The keys of entries.", metavar="[KEY]...")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="In place of keys: every entry whose key begins so.")
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete entries."""
    if bool(keys) == (prefix is not None):
        raise CommandFailed("Give keys, or a --prefix.")
    with connected(context) as service:
        if prefix is None:
            change_one_by_one(
                keys or (),
                lambda key: service.call("DELETE", at("tasks", task, "kv", key)),
                done="deleted",
                noun="entry",
                as_json=as_json,
            )
            return
        confirm(f"Delete every entry of {task} whose key begins with {prefix!r}?", yes=yes)
        answer = service.call("DELETE", at("tasks", task, "kv"), query={"prefix": prefix})
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"Deleted: {answer['deleted']:,}.")


def list_entries(
    context: typer.Context,
    task: TaskName,
    prefix: Annotated[str | None, typer.Option(help="Only keys that begin so.")] = None,
    when: Annotated[
        str | None,
        typer.Option("--at", help="As it was then: a time with an offset, or of the task's zone."),
    ] = None,
    limit: Limit = 50,
    every: All = False,
    as_json: Json = False,
) -> None:
    """List the entries of a task, in the order of their keys."""
    with connected(context) as service:
        found = service.some(
            at("tasks", task, "kv"), given(prefix=prefix, at=when), None if every else limit
        )
    if as_json:
        print_json(found.items)
        return
    now = local_now()
    print_table(
        ("key", "value", "version", "updated", "by", "expires"),
        (_row(each, now) for each in found.items),
        empty="There are no such entries.",
    )
    found.note_more()


def _row(entry: Mapping[str, Any], now: datetime) -> tuple[object, ...]:
    value = "(bytes)" if entry.get("encoding") else shortened(entry.get("value"))
    expires = None if entry["expires_at"] is None else relative(entry["expires_at"], now)
    return (
        entry["key"],
        value,
        entry["version"],
        relative(entry["updated_at"], now),
        entry["updated_by"],
        expires,
    )
