"""Lines with colours: as they are on a terminal, without colours in a pipe."""

from collections.abc import Iterable

import typer
from rich.text import Text

from rota.cli.output import console, is_terminal


def print_lines(lines: Iterable[Text]) -> None:
    """Print lines, each as a whole; whoever made them has made their texts printable."""
    shown = console() if is_terminal() else None
    for line in lines:
        if shown is None:
            typer.echo(line.plain)
        else:
            shown.print(line, soft_wrap=True)
