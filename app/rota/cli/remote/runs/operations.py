"""`rota run bulk`: the result of each run of a bulk operation."""

from typing import Annotated

import typer

from rota.cli.output import Json, print_json, print_table
from rota.cli.remote.arguments import All, Limit, given
from rota.cli.remote.service import at, connected


def show_operation(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="The id of the operation.", metavar="OPERATION")],
    result: Annotated[str | None, typer.Option(help="pending, done, changed or refused.")] = None,
    limit: Limit = 50,
    every: All = False,
    as_json: Json = False,
) -> None:
    """Show what a bulk operation has done with each run."""
    with connected(context) as service:
        found = service.some(
            at("bulk", id, "items"), given(result=result), None if every else limit
        )
    if as_json:
        print_json(found.items)
        return
    columns = ("run", "task", "result", "new_run", "detail")
    print_table(columns, ([each[name] for name in columns] for each in found.items))
    found.note_more()
