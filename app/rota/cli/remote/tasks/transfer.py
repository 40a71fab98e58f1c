"""`rota task export` and `rota task import`: definitions as lines of JSON, streamed, however many."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.output import Json, note, print_json, progress
from rota.cli.remote.arguments import Selector, selector
from rota.cli.remote.service import at, connected
from rota.cli.remote.tasks.fields import declared, has_redacted
from rota.cli.remote.tasks.registering import Registering, groups, read_lines
from rota.cli.remote.text.selectors import as_query
from rota.cli.remote.text.values import plural

_TO_STDOUT = "-"


def export(
    context: typer.Context,
    chosen: Selector = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="The file; `-` is the standard output.")
    ] = _TO_STDOUT,
) -> None:
    """Write the definitions of tasks, one JSON object a line: for `task import`, or for `apply`."""
    query = as_query(selector(chosen) or {})
    written = redacted = 0
    with (
        connected(context) as service,
        _opened(output) as file,
        progress("Tasks", None) as advance,
    ):
        for task in service.pages(at("tasks"), query):
            file.write(json.dumps(declared(task), ensure_ascii=False) + "\n")
            written += 1
            redacted += has_redacted(task)
            advance(1)
    note(f"{plural(written, 'task')} exported.")
    if redacted:
        note(
            f"{redacted:,} of them have secret values, which are never shown: they are '[redacted]' in the export. "
            "Applied to the same service they stay as they are; elsewhere, set them first."
        )


@contextmanager
def _opened(path: str) -> Iterator[TextIO]:
    if path == _TO_STDOUT:
        yield sys.stdout
        return
    try:
        with Path(path).open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}.") from None


def import_tasks(
    context: typer.Context,
    path: Annotated[
        str,
        typer.Argument(
            help="A file that `task export` wrote; `-`: standard input.", metavar="FILE"
        ),
    ],
    on_conflict: Annotated[
        str, typer.Option(help="Of a task that exists: reject, keep, update or replace.")
    ] = "reject",
    as_json: Json = False,
) -> None:
    """Register the tasks of an export, hundreds in a request.

    What is refused is reported, and the others are registered.
    """
    with connected(context) as service, progress("Tasks", None) as advance:
        registering = Registering(service, on_conflict)
        for group in groups(read_lines(path)):
            registering.register(group)
            advance(len(group))
    counts = registering.counts
    if left := registering.warnings_left_out():
        note(f"{left:,} more warnings. See: rota explain TASK")
    if as_json:
        print_json(counts)
    else:
        parts = [f"{count:,} {name}" for name, count in counts.items() if count] or ["no tasks"]
        typer.echo(f"{', '.join(parts)}.")
    if counts["failed"]:
        raise typer.Exit(ExitCode.FAILED)
