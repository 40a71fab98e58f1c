"""`rota top`: a screen with what is running, due and late."""

from collections.abc import Sequence
from functools import partial
from shutil import get_terminal_size
from typing import Annotated, Final

import typer
from rich.text import Text

from rota.cli.exits import CommandFailed
from rota.cli.output import Json, console, is_terminal, print_json
from rota.cli.remote.arguments import local_now
from rota.cli.remote.interruption import until_interrupted
from rota.cli.remote.service import Service, connected
from rota.cli.remote.text.lines import print_lines
from rota.cli.remote.top.live import show_until_q
from rota.cli.remote.top.screen import screen
from rota.cli.remote.top.seen import Seen, Size, Subject
from rota.cli.remote.top.snapshot import Snapshot, snapshot
from rota.cli.remote.top.watching import Watch

_SHORTEST, _LONGEST = 0.5, 3_600.0
#: Seconds that a request may take, with its repetitions, before the service is said not to answer.
_PATIENCE: Final = 10.0


def top(
    context: typer.Context,
    interval: Annotated[
        float,
        typer.Option(
            "--interval",
            "-i",
            help="Seconds between one look at the service and the next, from 0.5 to 3600.",
        ),
    ] = 2.0,
    once: Annotated[
        bool,
        typer.Option("--once", help="Print one screen and end."),
    ] = False,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="Only runs and fire times of tasks that have one of these tags."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is running, due and late, until q or Ctrl-C.

    What does not fit on the terminal is counted. In a pipe all is printed, once.
    """
    if not _SHORTEST <= interval <= _LONGEST:
        raise CommandFailed("--interval is from 0.5 to 3600 seconds.")
    tags = [part for each in tag or () for part in each.split(",") if part]
    with connected(context, timeout=_PATIENCE) as service, until_interrupted():
        if as_json:
            print_json(_snapshot(service, tags).document)
        elif once or not _can_be_drawn_on():
            print_lines(_one_screen(service, tags))
        else:
            _watch(service, tags, interval)


def _snapshot(service: Service, tags: Sequence[str]) -> Snapshot:
    return snapshot(service, tags, local_now())


def _can_be_drawn_on() -> bool:
    return is_terminal() and not console().is_dumb_terminal


def _one_screen(service: Service, tags: Sequence[str]) -> Sequence[Text]:
    """Return the lines of one screen: as many as fit on a terminal, above what the shell asks next; all in a pipe."""
    size = Size(None, None)
    if is_terminal():
        width, height = get_terminal_size()
        size = Size(width, height - 1)
    found = _snapshot(service, tags)
    return screen(Subject(service.rota.url, tags), Seen(found), size, found.at)


def _watch(service: Service, tags: Sequence[str], interval: float) -> None:
    subject = Subject(service.rota.url, tags, interval)
    with Watch(partial(_snapshot, service, tags), interval) as watch:
        show_until_q(watch, partial(screen, subject))
