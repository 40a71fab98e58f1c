"""Ctrl-C of what goes on until somebody ends it."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from rota.cli.exits import ExitCode


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Let Ctrl-C end what is within, without a word: that is how it is meant to end."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
