"""The command line, `rota`: what it is started with, and the options that every command shares.

`registry.py` lists the commands. Their modules are imported when they are needed, so that `rota --help` and completion
are quick: this module and those that it imports must stay cheap.
"""

from importlib.metadata import version
from typing import Annotated

import typer

from rota.cli.contexts import chosen_server, names_of_contexts
from rota.cli.registry import CommandLine

app = typer.Typer(
    cls=CommandLine,
    help="Rota: a service that schedules jobs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its box has no place in a log
)

_Url = Annotated[
    str | None,
    typer.Option("--url", help="Address of the service [ROTA_URL, http://127.0.0.1:8000]."),
]
_Key = Annotated[str | None, typer.Option("--key", help="API key for it [ROTA_KEY].")]
_Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        help="A context from `rota context list` [ROTA_CONTEXT, the current one].",
        autocompletion=names_of_contexts,
    ),
]


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(version("rota"))
        raise typer.Exit


_Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
]


@app.callback()
def options(
    context: typer.Context,
    url: _Url = None,
    key: _Key = None,
    context_name: _Context = None,
    version: _Version = False,
) -> None:
    """Rota: a service that schedules jobs."""
    del version
    # Read when a command asks for it: most need no service.
    context.obj = lambda: chosen_server(url=url, key=key, context=context_name)
