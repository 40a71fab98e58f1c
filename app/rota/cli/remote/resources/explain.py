"""`rota explain`: why a task runs, or does not."""

from typing import Annotated

import typer

from rota.cli.escaping import printable
from rota.cli.output import Json, note, print_json
from rota.cli.remote.arguments import TaskName, given
from rota.cli.remote.service import at, connected


def explain(
    context: typer.Context,
    task: TaskName,
    when: Annotated[
        str | None,
        typer.Option(
            "--at",
            help="Why it did not run then, or whether it will: 2026-11-25T09:00 or a date, in its zone.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say why a task does not run.

    With --at: why it did not run then, or whether it will.
    """
    with connected(context) as service:
        found = service.get(at("tasks", task, "explain"), **given(at=when))
    if as_json:
        print_json(found)
        return
    reason = f" ({found['reason']})" if found["reason"] else ""
    typer.echo(f"{found['verdict']}{reason}: {printable(found['message'], lines=True)}")
    if found["run"] is not None:
        note(
            f"Run {found['run']['id']}, {found['run']['status']}. Its log: rota run logs {found['run']['id']}"
        )
    for warning in found["warnings"]:
        note(f"Warning ({warning['code']}): {warning['message']}")
