"""Ctrl-C of what goes on until somebody ends it."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

#: What a shell reports of a command that was interrupted.
INTERRUPTED = 130


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Let Ctrl-C end what is within, without a word: that is how it is meant to end."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
