"""Lines with colours: as they are on a terminal, without colours in a pipe."""

from collections.abc import Iterable

import typer
from rich.text import Text

from rota.cli.output import console, is_terminal, printable


def print_lines(lines: Iterable[Text]) -> None:
    """Print lines, each as a whole. One with characters that do not show is printed without colours, and escaped."""
    shown = console() if is_terminal() else None
    for line in map(_printable, lines):
        if shown is None:
            typer.echo(line.plain)
        else:
            shown.print(line, soft_wrap=True)


def _printable(line: Text) -> Text:
    text = printable(line.plain, lines=True)
    return line if text == line.plain else Text(text)
