"""`rota task run` (also `rota run TASK`): run a task now, and perhaps wait for the end."""

from typing import Annotated, Any

import typer

from rota.cli.output import Json, note, print_json
from rota.cli.remote.arguments import Input, TaskName, json_argument
from rota.cli.remote.runs.following import follow
from rota.cli.remote.service import at, connected

Wait = Annotated[
    bool,
    typer.Option(
        "--wait",
        "-w",
        help="Show its log until it ends; the exit code is 0 if it has succeeded, else 1.",
    ),
]


def run_task(
    context: typer.Context,
    name: TaskName,
    input: Input = None,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Run a task now; also one that is paused."""
    body: dict[str, Any] | None = None if input is None else {"input": json_argument(input)}
    with connected(context) as service:
        run = service.call("POST", at("tasks", name, "run"), body=body, repeatable=True)
        if wait:
            follow(service, name, run["id"], as_json=as_json)
            return
    if as_json:
        print_json(run)
    else:
        typer.echo(run["id"])
        note(f"The run of {name} is {run['status']}. Its log: rota run logs -f {run['id']}")
