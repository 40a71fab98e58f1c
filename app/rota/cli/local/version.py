"""`rota version`."""

from importlib import metadata

import typer


def version() -> None:
    """Print the version."""
    typer.echo(metadata.version("rota"))
