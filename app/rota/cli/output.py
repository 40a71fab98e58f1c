"""What commands print: tables and colours on a terminal, aligned text in a pipe, JSON when it is asked for.

Texts from a service are untrusted: `printable` shows what would move the cursor or change colours.
"""

import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
#: Colours of words that say how something is, by the word.
COLOURS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("succeeded", "active", "ok", "done"), "green"),
    **dict.fromkeys(("failed", "error", "revoked", "lost"), "red"),
    **dict.fromkeys(("running", "queued", "retrying", "waiting", "blocked"), "cyan"),
    **dict.fromkeys(("paused", "warning", "skipped", "held", "expired"), "yellow"),
    **dict.fromkeys(("cancelled", "completed", "scheduled"), "dim"),
}
#: Kinds of characters that do not show, or change how others show.
_UNPRINTABLE = {"Cc", "Cf", "Zl", "Zp", "Cs"}


def is_terminal() -> bool:
    """Return whether somebody reads the standard output."""
    return sys.stdout.isatty()


def console(*, err: bool = False) -> Console:
    """Return rich's console; it follows NO_COLOR and the width of the terminal."""
    return Console(stderr=err, highlight=False, markup=False, emoji=False)


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text in which what does not show is escaped; `lines`: but not ends of lines and tabs."""
    kept = "\n\t" if lines else ""
    return "".join(
        each if each in kept or not _is_unprintable(each) else _escaped(each) for each in text
    )


def _is_unprintable(character: str) -> bool:
    return unicodedata.category(character) in _UNPRINTABLE


def _escaped(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return json.dumps(character)[1:-1] if code < 0x7F else f"\\u{code:04x}"


def print_json(data: Any) -> None:
    """Print a value as JSON: indented for a reader, and as complete in a pipe."""
    typer.echo(_json_text(data, indent=2))


def print_json_line(data: Any) -> None:
    """Print a value as one line of JSON, at once: for what follows (`-f`)."""
    typer.echo(_json_text(data, separators=(",", ":")))
    sys.stdout.flush()


def _json_text(data: Any, **layout: Any) -> str:
    """Return JSON whose strings have no characters that move the cursor: `json` escapes those of ASCII only."""
    text = json.dumps(data, ensure_ascii=False, **layout)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(
        json.dumps(each)[1:-1] if each > "~" and _is_unprintable(each) else each for each in text
    ).replace("\x7f", "\\u007f")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "Nothing."
) -> None:
    """Print rows below the names of their columns; None is shown as a dash.

    A terminal gets colours, and cells that are wrapped to its width. A pipe gets every cell as a whole. `empty` is
    printed on the standard error if there are no rows.
    """
    texts = [[_cell(each) for each in row] for row in rows]
    if not texts:
        typer.echo(empty, err=True)
    elif is_terminal():
        _print_for_reader(columns, texts)
    else:
        _print_aligned(columns, texts)


def _cell(value: object) -> str:
    return "-" if value is None else printable(str(value))


def _print_for_reader(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    console().print(table)


def _print_aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [[name.upper() for name in columns], *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def print_fields(fields: Mapping[str, object]) -> None:
    """Print what there is to say of one thing: a name and a value a line."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        text = _cell(value)
        line = Text(f"{name.ljust(width)}  ", style="bold")
        line.append(text, style=COLOURS.get(text, "not bold"))
        if is_terminal():
            console().print(line)
        else:
            typer.echo(line.plain)


def note(sentence: str) -> None:
    """Print a sentence beside the output, on the standard error; what does not show in it is escaped."""
    typer.echo(printable(sentence, lines=True), err=True)


class Bar:
    """A progress bar: it is called with how much more is done."""

    def __init__(self, shown: Progress, task: TaskID) -> None:
        self._shown = shown
        self._task = task

    def __call__(self, more: int) -> None:
        """Say that so much more is done."""
        self._shown.advance(self._task, more)

    def set_total(self, total: int) -> None:
        """Say how much there is, once that is known."""
        self._shown.update(self._task, total=total)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Bar]:
    """Show a bar on the standard error while something long is done, if somebody is there."""
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(err=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with shown:
        yield Bar(shown, shown.add_task(label, total=total))
