"""Ctrl-C of what goes on: on the terminal until somebody ends it, or in the service without the command."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from rota.cli.exits import ExitCode
from rota.cli.output import note


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Let Ctrl-C end what is within, without a word: that is how it is meant to end."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


@contextmanager
def noting_what_goes_on(sentence: str) -> Iterator[None]:
    """Let Ctrl-C end the waiting within, and print what goes on in the service all the same."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"\n{sentence}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
