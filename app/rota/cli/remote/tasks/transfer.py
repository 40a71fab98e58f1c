"""`rota task export` and `rota task import`: definitions as lines of JSON, streamed, however many."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.output import Json, note, print_json, progress
from rota.cli.remote.arguments import DryRun, Selector, selector
from rota.cli.remote.documents.reading import STDIN, DocumentError, lines, shown
from rota.cli.remote.service import Service, at, connected, failure
from rota.cli.remote.tasks.members import declared, has_redacted
from rota.cli.remote.text.selectors import as_query

#: Tasks in a request; a request is one transaction.
_CHUNK = 500
_MOST_BYTES = 8_000_000
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
    with connected(context) as service, _opened(output) as file, progress("Tasks", None) as advance:
        for task in service.pages(at("tasks"), query):
            file.write(json.dumps(declared(task), ensure_ascii=False) + "\n")
            written += 1
            redacted += has_redacted(task)
            advance(1)
    note(f"{written:,} tasks exported.")
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
        file = Path(path).open("w", encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}.") from None
    with file:
        yield file


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
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Register the tasks of an export, hundreds in a request; a request that is refused registers none of its tasks."""
    totals = dict.fromkeys(("created", "updated", "unchanged", "kept", "replaced", "failed"), 0)
    with connected(context) as service, progress("Tasks", None) as advance:
        for first, chunk in _chunks(_read(path)):
            answer = _send(service, chunk, on_conflict, dry_run=dry_run)
            if isinstance(answer, CommandFailed):
                note(f"rota: lines {first} to {first + len(chunk) - 1}: {answer.sentence}")
                totals["failed"] += len(chunk)
            else:
                for name in totals.keys() & answer.keys():
                    totals[name] += answer[name]
            advance(len(chunk))
    if as_json:
        print_json(totals)
    else:
        parts = [f"{count:,} {name}" for name, count in totals.items() if count] or ["no tasks"]
        typer.echo(f"{'Would be: ' if dry_run else ''}{', '.join(parts)}.")
    if totals["failed"]:
        raise typer.Exit(ExitCode.FAILED)


def _send(service: Service, chunk: list[Any], on_conflict: str, *, dry_run: bool) -> Any:
    """Register tasks; return the answer, or why they are refused."""
    try:
        return service.call(
            "POST",
            at("tasks", "batch"),
            query={"dry_run": "true"} if dry_run else None,
            body={"items": chunk, "on_conflict": on_conflict},
            repeatable=not dry_run,
        )
    except Exception as error:
        failed = failure(error)
        if failed is None or failed.code is ExitCode.UNREACHABLE:
            raise
        return failed


def _read(path: str) -> Iterator[tuple[Any, int]]:
    """Yield the object of each line, with its length."""
    try:
        for number, line in enumerate(lines(path), start=1):
            yield _parsed(line, f"{shown(path)}, line {number}"), len(line)
    except DocumentError as error:
        raise CommandFailed(str(error)) from None


def _parsed(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        advice = "" if place.startswith(shown(STDIN)) else " For YAML, use: rota apply -f"
        raise CommandFailed(
            f"{place} is no JSON object; an export has one a line.{advice}"
        ) from None


def _chunks(tasks: Iterable[tuple[Any, int]]) -> Iterator[tuple[int, list[Any]]]:
    """Yield groups of tasks for one request each, with the number of the first: of so many, and of so many bytes."""
    found, size, number = [], 0, 1
    for task, length in tasks:
        if found and (len(found) == _CHUNK or size + length > _MOST_BYTES):
            yield number, found
            number += len(found)
            found, size = [], 0
        found.append(task)
        size += length
    if found:
        yield number, found
