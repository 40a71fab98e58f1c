"""`rota secret`: named secrets for calls over HTTP. Values are read, never printed, and never an argument."""

import sys
from typing import Annotated

import typer

from rota.cli.exits import CommandFailed
from rota.cli.output import Json, print_fields, print_json, print_table
from rota.cli.registry import group_of_commands
from rota.cli.remote.arguments import Yes, given
from rota.cli.remote.confirmation import confirm
from rota.cli.remote.service import at, connected

group = group_of_commands("Named secrets for calls over HTTP.")

_Name = Annotated[str, typer.Argument(help="The name of the secret.", metavar="SECRET")]


@group.command("list")
def list_secrets(context: typer.Context, as_json: Json = False) -> None:
    """List the secrets, without their values."""
    with connected(context) as service:
        found = [*service.pages(at("secrets"))]
    if as_json:
        print_json(found)
        return
    rows = (
        (
            each["name"],
            each["source"],
            each["version"],
            " ".join(each["origins"]),
            " ".join(each["tasks"]) or "all",
        )
        for each in found
    )
    print_table(
        ("name", "source", "version", "may be sent to", "by tasks"),
        rows,
        empty="There are no secrets.",
    )


@group.command("show")
def show_secret(context: typer.Context, name: _Name, as_json: Json = False) -> None:
    """Show what a secret is for; its value is never shown."""
    with connected(context) as service:
        found = service.get(at("secrets", name))
    if as_json:
        print_json(found)
    else:
        print_fields(
            {
                each: " ".join(value) if isinstance(value, list) else value
                for each, value in found.items()
            }
        )


@group.command("set")
def set_secret(
    context: typer.Context,
    name: _Name,
    origin: Annotated[
        list[str], typer.Option(help="A server that it may be sent to: https://api.example.com.")
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(help="A task that may send it, or the beginning of names with a `*`."),
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is.")] = None,
    keep: Annotated[bool, typer.Option("--keep-value", help="Change the rest only.")] = False,
    as_json: Json = False,
) -> None:
    """Declare a secret. Its value is read from the standard input, or asked for."""
    value = None if keep else read_value()
    body = given(value=value, origins=origin, tasks=task, description=description)
    with connected(context) as service:
        found = service.call("PUT", at("secrets", name), body=body)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"The secret {name} is set, version {found['version']}.")


@group.command()
def rotate(
    context: typer.Context,
    name: _Name,
    overlap: Annotated[
        str | None,
        typer.Option(
            help="How long the value before is still what signatures are made with as well."
        ),
    ] = None,
) -> None:
    """Give a secret another value, which is read from the standard input, or asked for."""
    value = read_value()
    with connected(context) as service:
        found = service.call(
            "POST", at("secrets", name, "rotate"), body=given(value=value, overlap=overlap)
        )
    typer.echo(f"The secret {name} has another value, version {found['version']}.")


@group.command("delete")
def delete_secret(
    context: typer.Context,
    name: _Name,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that tasks use: their calls fail.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Delete a secret."""
    with connected(context) as service:
        confirm(f"Delete the secret {name}?", yes=yes)
        service.call("DELETE", at("secrets", name), query={"force": True} if force else {})
    typer.echo(f"The secret {name} is deleted.")


def read_value() -> str:
    """Return a value that is neither an argument, which others could see, nor on the screen. Raises CommandFailed."""
    if sys.stdin.isatty():
        return str(typer.prompt("Value", hide_input=True, confirmation_prompt=True, err=True))
    text = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not text:
        raise CommandFailed("The standard input has no value.")
    return text
