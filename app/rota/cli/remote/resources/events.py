"""`rota events`: what happens, as it happens."""

from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any

import typer
from rich.text import Text

from rota.cli.escaping import printable
from rota.cli.output import COLOURS, Json, print_json_line
from rota.cli.remote.arguments import given
from rota.cli.remote.interruption import until_interrupted
from rota.cli.remote.service import connected
from rota.cli.remote.text.lines import print_lines
from rota.cli.remote.text.times import local_clock


def events(
    context: typer.Context,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Go on until Ctrl-C; this is what it does in any case."
        ),
    ] = True,
    task: Annotated[list[str] | None, typer.Option(help="Only of these tasks.")] = None,
    type: Annotated[
        list[str] | None, typer.Option(help="Only of these types: run.failed, task.*, …")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Begin behind the event with this id (--json shows it).")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print events as they happen.

    A broken connection is made again, and no event is lost. `--json` prints an object a line.
    """
    del follow
    with connected(context) as service, until_interrupted():
        for event in islice(service.events(task=task, type=type, after=after), count):
            if as_json:
                print_json_line(event)
            else:
                print_lines([_line(event)])


def _line(event: Mapping[str, Any]) -> Text:
    """Return an event in a line: when, what, of which task, and the rest that is short."""
    data = dict(event["data"])
    subject = data.pop("task", None) or data.pop("hold", None) or ""
    kind = event["type"]
    text = Text(f"{local_clock(event['timestamp'])} ", style="dim")
    text.append(f"{kind:<15} ", style=COLOURS.get(kind.partition(".")[2], "not dim"))
    text.append(printable(str(subject)), style="bold not dim")
    shown = given(**{name: value for name, value in data.items() if name in _SHOWN})
    return text.append(
        "".join(f"  {name}={printable(str(value))}" for name, value in shown.items()), style="dim"
    )


_SHOWN = frozenset(["run", "reason", "trigger", "by", "revision", "kind", "until"])
