"""The machine: port, time zones, handlers, libraries, and the file of contexts."""

import http.client
import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from rota.cli.contexts import read_contexts
from rota.cli.exits import CommandFailed
from rota.cli.local.findings import Finding, Level
from rota.cli.local.own_time_zone import own_time_zone
from rota.domain.calendars.extra import is_installed
from rota.domain.time_zones.zone import database
from rota.errors import AppError, Invalid
from rota.handlers.discovery import discover
from rota.listening import listen
from rota.settings import Settings

#: What `rota init` writes, and `rota dev` loads without a setting.
_USUAL = "handlers.py"
_LIBRARIES = ("holidays", "icalendar")
_PATIENCE = 2.0


def contexts_file() -> Iterator[Finding]:
    """Yield what is wrong with the file of contexts."""
    try:
        read_contexts()
    except CommandFailed as error:
        sentence, _, fix = error.sentence.partition(" Run: ")
        yield Finding(Level.ERROR, "contexts", sentence, fix or "Correct the file, or remove it")


def port(settings: Settings) -> Iterator[Finding]:
    """Yield whether the port is free, or has a service of Rota."""
    try:
        for each in listen(settings.host, settings.port):
            each.close()
    except Invalid as error:
        yield Finding(
            Level.ERROR, "port", error.detail, "Set ROTA_HOST to an address of this machine"
        )
    except AppError as error:
        yield _who_listens(settings, error.detail)
    else:
        yield Finding(Level.OK, "port", f"{settings.port} is free: no service runs here.")


def _who_listens(settings: Settings, otherwise: str) -> Finding:
    """Return whether what keeps the port is a service of Rota, and how it is."""
    status = _status(settings)
    match status:
        case None:
            sentence, _, fix = otherwise.partition(". ")
            return Finding(Level.ERROR, "port", f"{sentence}; it is not Rota.", fix.rstrip("."))
        case 200:
            return Finding(Level.OK, "port", f"Rota answers on {settings.port}.")
        case _:
            return Finding(
                Level.ERROR,
                "port",
                f"Rota answers on {settings.port}, and is not ready ({status}).",
                f"Read why: curl http://127.0.0.1:{settings.port}/readyz",
            )


def _status(settings: Settings) -> int | None:
    """Return the status of /readyz, None if what answers is not Rota."""
    host = settings.host.strip("[]")
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared only
    connection = http.client.HTTPConnection(reached, settings.port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        answer = connection.getresponse()
        body = answer.read(1_000)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return answer.status if b"status" in body else None


def time_zones(_settings: Settings) -> Iterator[Finding]:
    """Yield which time zone database is used."""
    version = database().version
    yield Finding(
        Level.OK, "time zones", f"Their data are {version}; this machine: {own_time_zone()}."
    )


def handlers(settings: Settings) -> Iterator[Finding]:
    """Yield whether the handlers can be loaded, and how many there are."""
    try:
        with redirect_stdout(io.StringIO()):  # what they print is not ours
            found = discover(settings.handlers)
    except AppError as error:
        yield Finding(
            Level.ERROR, "handlers", error.detail, "Correct it, or take it out of ROTA_HANDLERS"
        )
        return
    names = ", ".join(sorted(found))
    yield Finding(Level.OK, "handlers", f"They can be loaded: {names}.")
    if not settings.handlers and Path(_USUAL).is_file():
        message = f"There is a {_USUAL} here, which only `rota dev` loads by itself."
        yield Finding(Level.WARNING, "handlers", message, f"ROTA_HANDLERS={_USUAL} rota serve")


def extras(_settings: Settings) -> Iterator[Finding]:
    """Yield which libraries that are extras are not there."""
    missing = [each for each in _LIBRARIES if not is_installed(each)]
    if missing:
        message = f"Without {' and '.join(missing)}, calendars of holidays and of iCalendar texts cannot be made."
        yield Finding(
            Level.OK, "extras", message, "Only if they are wanted: pip install 'rota[calendars]'"
        )
    else:
        yield Finding(Level.OK, "extras", "The libraries of 'rota[calendars]' are there.")
