"""`rota serve`: the service, in this process."""

from typing import Annotated

import typer

from rota.cli.local.terminal import settings_of


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on [ROTA_HOST, 127.0.0.1].")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [ROTA_PORT, 8000].")] = None,
    paused: Annotated[
        bool,
        typer.Option(
            "--paused",
            help="Hold every task from the start on, as for a restored backup: nothing fires or starts until the hold "
            "'paused-at-start' is ended.",
        ),
    ] = False,
) -> None:
    """Run the service: HTTP API, scheduler and workers in one process."""
    settings = settings_of(host=host, port=port)
    # Late: what is wrong with settings is reported at once, and the service takes seconds to import.
    from rota.cli.local.serving.service import run_service  # noqa: PLC0415

    run_service(settings, paused=paused)
