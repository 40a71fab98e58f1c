"""Asking before something is done that cannot be taken back."""

import sys

import typer

from rota.cli.exits import CommandFailed


def confirm(question: str, *, yes: bool) -> None:
    """Return if it is to be done: with `--yes`, or by an answer on a terminal. Raises CommandFailed or typer.Abort."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(f"{question} There is no terminal to answer on: give --yes to do it.")
    typer.confirm(question, abort=True, err=True)
