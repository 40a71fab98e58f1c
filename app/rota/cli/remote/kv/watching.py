"""`rota kv watch`: changes of the entries of a task, as they happen."""

from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any

import typer
from rich.text import Text

from rota.cli.escaping import printable
from rota.cli.output import Json, print_json_line
from rota.cli.remote.arguments import TaskName
from rota.cli.remote.interruption import until_interrupted
from rota.cli.remote.service import connected
from rota.cli.remote.text.lines import print_lines
from rota.cli.remote.text.times import local_clock
from rota.cli.remote.text.values import shortened

_MOST = 100


def watch(
    context: typer.Context,
    task: TaskName,
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            help="Keys, or beginnings of keys with a `*`; all, if left out.", metavar="[KEY]..."
        ),
    ] = None,
    initial: Annotated[bool, typer.Option("--initial", help="The present entries first.")] = False,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many changes.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print changes of entries as they happen, until Ctrl-C; `--json` prints an object a line."""
    with connected(context) as service, until_interrupted():
        changes = service.kv_changes(task, keys or [], initial=initial)
        for change in islice(changes, count):
            if as_json:
                print_json_line(change)
            else:
                print_lines([_line(change)])


def _line(change: Mapping[str, Any]) -> Text:
    data = change["data"]
    text = Text(f"{local_clock(change['timestamp'])} ", style="dim")
    match change["type"]:
        case "kv.set":
            value = "(bytes)" if data.get("encoding") else shortened(data.get("value"), _MOST)
            text.append(data["key"], style="bold not dim").append(
                f" = {printable(value)}", style="not dim"
            )
        case "kv.deleted":
            text.append(data["key"], style="bold not dim").append(" deleted", style="red not dim")
        case other:
            return text.append(other, style="yellow not dim")
    return text.append(f"  version={data['version']} by={data['updated_by']}", style="dim")
