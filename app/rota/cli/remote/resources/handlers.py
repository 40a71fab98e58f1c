"""`rota handler`: what can be run."""

from typing import Annotated

import typer

from rota.cli.output import Json, print_fields, print_json, print_table
from rota.cli.registry import group_of_commands
from rota.cli.remote.arguments import given, local_now
from rota.cli.remote.service import at, connected
from rota.cli.remote.text.times import relative, short_duration

group = group_of_commands("Handlers: what tasks can run.")

_Name = Annotated[str, typer.Argument(help="The name of the handler.", metavar="HANDLER")]


@group.command("list")
def list_handlers(context: typer.Context, as_json: Json = False) -> None:
    """List the handlers that the service, its workers, and workers outside know."""
    with connected(context) as service:
        found = [*service.pages(at("handlers"))]
    if as_json:
        print_json(found)
        return
    rows = (
        (
            each["name"],
            each["isolation"],
            short_duration(each["timeout"]),
            _first_line(each["description"]),
        )
        for each in found
    )
    print_table(
        ("name", "isolation", "timeout", "description"), rows, empty="There are no handlers."
    )


@group.command("show")
def show_handler(context: typer.Context, name: _Name, as_json: Json = False) -> None:
    """Show a handler, and which inputs it takes."""
    with connected(context) as service:
        found = service.get(at("handlers", name))
    if as_json:
        print_json(found)
        return
    print_fields(
        given(
            name=found["name"],
            description=found["description"] or None,
            isolation=found["isolation"],
            timeout=None if found["timeout"] is None else short_duration(found["timeout"]),
            updated=relative(found["updated_at"], local_now()),
        )
    )
    if found["input_schema"] is not None:
        typer.echo("\ninput")
        print_json(found["input_schema"])


def _first_line(text: str) -> str | None:
    return text.strip().partition("\n")[0] or None
