"""`rota dev`: the service while handlers are being written. It starts again when a file changes."""

import _thread
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from rota.cli.exits import CommandFailed
from rota.cli.local.serving.watched_files import Stamps, changed, stamps
from rota.cli.output import note

#: -P: as with the program `rota`, the present folder is not where modules are looked for.
_SERVICE = (sys.executable, "-P", "-c", "from rota.cli.local.serving.dev_service import run; run()")
_USUAL = "handlers.py"
#: How often the files are looked at, in seconds.
_PERIOD = 0.3
#: How long runs may go on when the service starts again, unless ROTA_DRAIN_GRACE says otherwise, in seconds.
_GRACE = "3"


def dev(
    handlers: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files or modules with handlers.", show_default="ROTA_HANDLERS, else handlers.py"
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on [ROTA_HOST, 127.0.0.1].")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [ROTA_PORT, 8000].")] = None,
) -> None:
    """Serve while handlers are written: makes the database, and starts again when a Python file changes."""
    entries = handlers or _usual_handlers()
    environment = {
        "ROTA_DRAIN_GRACE": _GRACE,
        **os.environ,
        "ROTA_HANDLERS": ",".join(entries),
        **({} if host is None else {"ROTA_HOST": host}),
        **({} if port is None else {"ROTA_PORT": str(port)}),
    }
    stop, hurry = Event(), Event()

    def end(*_: object) -> None:
        # In another thread: the one that the signal has interrupted may have the lock of the event.
        _thread.start_new_thread((hurry if stop.is_set() else stop).set, ())

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    raise typer.Exit(follow(Followed(_SERVICE, environment, _folders(entries)), stop, hurry))


def _usual_handlers() -> list[str]:
    """Return the handlers of the settings, else the file that `rota init` writes. Raises CommandFailed."""
    given = [each.strip() for each in os.environ.get("ROTA_HANDLERS", "").split(",")]
    if any(given):
        return [each for each in given if each]
    if Path(_USUAL).is_file():
        return [_USUAL]
    raise CommandFailed(
        f"There is no {_USUAL} here. Name the file: rota dev jobs.py; or begin with one: rota init jobs"
    )


def _folders(entries: Sequence[str]) -> list[Path]:
    """Return the folders to watch: this one, and those of files elsewhere."""
    here = Path().absolute()
    elsewhere = {
        Path(each).absolute().parent for each in entries if each.endswith(".py") or "/" in each
    }
    return [here, *sorted(each for each in elsewhere if not each.is_relative_to(here))]


@dataclass(frozen=True, slots=True)
class Followed:
    """A program that is started again when files below some folders change."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folders: Sequence[Path]


def follow(followed: Followed, stop: Event, hurry: Event | None = None) -> int:
    """Run the program until `stop` is set or it ends well; return the exit code.

    `hurry`: it is killed, if it does not end. Its last argument is a pipe that is closed when this process ends.
    """
    seen = stamps(followed.folders)
    while True:
        with _started(followed) as process:
            try:
                after = _until_change(process, seen, followed.folders, stop)
            finally:
                _end(process, hurry or Event())
        if after is None:
            return 0
        files = changed(seen, after)
        note(f"{Path(files[0]).name} has changed: the service starts again.")
        seen = after


@contextmanager
def _started(followed: Followed) -> Iterator[subprocess.Popen[bytes]]:
    theirs, ours = os.pipe()
    try:
        # A group of its own: what ends it is sent by this process, once.
        with subprocess.Popen(  # noqa: S603  # our own program
            [*followed.command, str(theirs)],
            env=followed.environment,
            start_new_session=True,
            pass_fds=[theirs],
        ) as process:
            yield process
    finally:
        os.close(theirs)
        os.close(ours)


def _end(process: subprocess.Popen[bytes], hurry: Event) -> None:
    """Let a program end, and wait until it has: its runs may take a while, unless somebody asks again."""
    process.terminate()
    while process.poll() is None:
        if hurry.wait(_PERIOD / 10):
            process.kill()
            process.wait()


def _until_change(
    process: subprocess.Popen[bytes], seen: Stamps, folders: Sequence[Path], stop: Event
) -> Stamps | None:
    """Return the files once they have changed; None if the program is to end, or has ended well."""
    is_reported = False
    while not stop.wait(_PERIOD):
        code = process.poll()
        if code == 0:
            return None
        if code is not None and not is_reported:
            note("The service has ended. It starts again when a file changes; Ctrl+C ends this.")
            is_reported = True
        present = stamps(folders)
        if present != seen and _is_settled(present, folders, stop):
            return present
    return None


def _is_settled(present: Stamps, folders: Sequence[Path], stop: Event) -> bool:
    """Return whether nothing more is being written: an editor writes several times."""
    stop.wait(_PERIOD / 3)
    return stamps(folders) == present
