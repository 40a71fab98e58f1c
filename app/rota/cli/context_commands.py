"""`rota context`: servers by name."""

import re
import sys
from typing import Annotated

import typer

from rota.cli.contexts import (
    Server,
    change_contexts,
    checked_url,
    names_of_contexts,
    read_contexts,
)
from rota.cli.exits import CommandFailed
from rota.cli.output import Json, note, print_json, print_table
from rota.cli.registry import group_of_commands

group = group_of_commands("Servers that commands are for, each with its key.")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_Name = Annotated[
    str, typer.Argument(help="The name of the context.", autocompletion=names_of_contexts)
]


@group.command()
def add(
    name: _Name,
    url: Annotated[str, typer.Option(help="The address of the service.")],
    key: Annotated[
        str | None,
        typer.Option(help="An API key; `-` reads it from the standard input or asks for it."),
    ] = None,
) -> None:
    """Add a context, or replace it. The first one becomes the current one."""
    if not _NAME.fullmatch(name):
        raise CommandFailed(
            f"{name!r} is no name for a context: letters, digits, '.', '_' and '-', up to 63."
        )
    server = Server(checked_url(url), _read_key() if key == "-" else key, name)
    contexts, path = change_contexts(lambda there: there.with_server(name, server))
    current = " It is the current one." if contexts.current == name else ""
    note(f"The context {name} is in {path}.{current}")


def _read_key() -> str:
    """Return a key that shows neither on the screen nor in the list of processes."""
    if sys.stdin.isatty():
        return str(typer.prompt("Key", hide_input=True, err=True))
    text = sys.stdin.readline().strip()
    if not text:
        raise CommandFailed("The standard input has no key.")
    return text


@group.command("list")
def show(*, as_json: Json = False) -> None:
    """List the contexts, without their keys."""
    contexts = read_contexts()
    found = [
        {
            "name": name,
            "url": server.url,
            "has_key": server.key is not None,
            "current": name == contexts.current,
        }
        for name, server in sorted(contexts.servers.items())
    ]
    if as_json:
        print_json(found)
        return
    rows = [
        ("*" if each["current"] else "", each["name"], each["url"], _shown_key(each["has_key"]))
        for each in found
    ]
    print_table(("", "name", "url", "key"), rows, empty="There are no contexts.")


def _shown_key(has_key: object) -> str:
    return "set" if has_key else "none"


@group.command()
def use(name: _Name) -> None:
    """Make a context the current one, which commands are for unless they say otherwise."""
    change_contexts(lambda there: there.using(name))
    note(f"Commands are for {name} now.")


@group.command()
def remove(name: _Name) -> None:
    """Remove a context, with its key."""
    change_contexts(lambda there: there.without(name))
    note(f"The context {name} is removed.")
