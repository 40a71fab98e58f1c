"""Doing one thing to several, each on its own: what fails is reported, and the others are done."""

from collections.abc import Callable, Sequence
from typing import Any

import typer

from rota.cli.escaping import printable
from rota.cli.exits import CommandFailed, ExitCode
from rota.cli.output import note, print_json, progress
from rota.cli.remote.service import failure

_LONG = 20


def change_one_by_one(
    names: Sequence[str], change: Callable[[str], Any], *, done: str, noun: str, as_json: bool
) -> None:
    """Call `change` for each; print the results.

    Exits with the code of the failure if all failures have the same, else with that of a failed command.
    """
    results = []
    with progress(done, len(names) if len(names) >= _LONG else None) as advance:
        for name in names:
            results.append((name, _attempt(change, name)))
            advance(1)
    if as_json:
        print_json([_as_json(name, result, done) for name, result in results])
    else:
        _print(results, done, noun)
    codes = {result.code for _, result in results if isinstance(result, CommandFailed)}
    if codes:
        raise typer.Exit(codes.pop() if len(codes) == 1 else ExitCode.FAILED)


def _attempt(change: Callable[[str], Any], name: str) -> Any:
    try:
        return change(name)
    except Exception as error:
        failed = failure(error)
        if failed is None or failed.code is ExitCode.UNREACHABLE:
            raise
        return failed


def _print(results: Sequence[tuple[str, Any]], done: str, noun: str) -> None:
    for name, result in results:
        if isinstance(result, CommandFailed):
            note(f"rota: {name}: {result.sentence}")
        else:
            typer.echo(printable(f"The {noun} {name} is {done}."))


def _as_json(name: str, result: Any, done: str) -> dict[str, Any]:
    if isinstance(result, CommandFailed):
        return {"name": name, "result": "failed", "problem": result.sentence}
    return {"name": name, "result": done}
