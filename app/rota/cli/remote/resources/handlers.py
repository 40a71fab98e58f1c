"""`rota handler`: what can be run."""

import typer

from rota.cli.output import Json, print_json, print_table
from rota.cli.registry import group_of_commands
from rota.cli.remote.service import at, connected
from rota.cli.remote.text.times import short_duration

group = group_of_commands("Handlers: what tasks can run.")


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


def _first_line(text: str) -> str | None:
    return text.strip().partition("\n")[0] or None
