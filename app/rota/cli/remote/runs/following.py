"""Following a run until it ends: its log as it is written, then how it has ended."""

from collections.abc import Mapping
from typing import Any

import typer
from rich.text import Text

from rota.cli.escaping import printable
from rota.cli.exits import ExitCode
from rota.cli.output import note, print_json
from rota.cli.remote.interruption import noting_what_goes_on
from rota.cli.remote.service import Service
from rota.cli.remote.text.lines import print_lines
from rota.cli.remote.text.times import local_clock, short_duration

_LEVELS = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "red"}


def follow(service: Service, task: str, run: str, *, as_json: bool) -> None:
    """Print the id of a run, its log until it ends, then its result. Exits with 1 if it has not succeeded.

    With `as_json` the log is left out, and the run is printed when it has ended.
    """
    goes_on = f"The run goes on. Follow it: rota run logs -f {run}. End it: rota run cancel {run}"
    with noting_what_goes_on(goes_on):
        note(f"Run {run} of {task}")
        if not as_json:
            for line in service.log_of(run):
                print_lines([log_line(line)])
        ended = service.ended(run)
    if as_json:
        print_json(ended)
    else:
        _print_end(ended)
    if ended["status"] != "succeeded":
        raise typer.Exit(ExitCode.FAILED)


def log_line(line: Mapping[str, Any]) -> Text:
    """Return a line of a log: its time of day, its level, its message."""
    text = Text(f"{local_clock(line['at'])} ", style="dim")
    style = _LEVELS.get(line["level"], "not dim")
    return text.append(f"{line['level']:<7} ", style=style).append(
        printable(line["message"], lines=True), style="not dim"
    )


def _print_end(run: Mapping[str, Any]) -> None:
    """Print how a run has ended beside the output, and its result on it."""
    reason = f" ({run['reason']})" if run["reason"] else ""
    took = f" in {short_duration(run['duration'])}" if run["duration"] is not None else ""
    note(f"{run['task']} has ended: {run['status']}{reason}{took}.")
    if run["error"] is not None:
        note(f"{run['error']['type']}: {printable(run['error']['message'], lines=True)}")
    if run["result"] is not None:
        print_json(run["result"])
