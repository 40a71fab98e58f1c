"""What `rota doctor` and `rota db check` find: each thing that is wrong with what corrects it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import typer
from rich.text import Text

from rota.cli.escaping import printable
from rota.cli.output import console, is_terminal, print_json


class Level(StrEnum):
    """How bad something is."""

    OK = "ok"
    #: It works, and may not be meant.
    WARNING = "warning"
    #: It does not work.
    ERROR = "error"


_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at (`subject`), what is the case, and the fix if it should not be."""

    level: Level
    subject: str
    message: str
    fix: str | None = None


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print findings, the fix of each on a line of its own, and how many there are of each kind."""
    if as_json:
        print_json({"findings": [asdict(each) for each in findings]})
        return
    for each in findings:
        _print(each)
    number = {level: sum(each.level is level for each in findings) for level in Level}
    errors, warnings = (
        _counted(number[Level.ERROR], "error"),
        _counted(number[Level.WARNING], "warning"),
    )
    typer.echo(f"{errors}, {warnings}, {number[Level.OK]} ok.")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _print(finding: Finding) -> None:
    line = Text(f"{finding.level.ljust(8)} ", style=_COLOURS[finding.level])
    message = printable(finding.message, lines=True).replace("\n", "\n         ")
    line.append(f"{finding.subject}: {message}", style="not bold default")
    _echo(line)
    if finding.fix is not None:
        _echo(Text(f"         → {printable(finding.fix)}", style="cyan"))


def _echo(line: Text) -> None:
    if is_terminal():
        console().print(line, soft_wrap=True)
    else:
        typer.echo(line.plain)
