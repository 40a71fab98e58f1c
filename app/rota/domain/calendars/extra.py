"""The extra `calendars`: the libraries that read iCalendar and know holidays need not be installed."""

from importlib.util import find_spec

from rota.errors import Conflict

#: How they are installed.
INSTALL = "pip install 'rota[calendars]'"


def is_installed(library: str) -> bool:
    """Return whether a library of the extra is there."""
    return find_spec(library) is not None


def check_installed(library: str) -> None:
    """Raise Conflict, with how it is installed, if a library of the extra is not there."""
    if not is_installed(library):
        raise Conflict(
            f"This needs the library {library!r}, which is not installed where the service runs: install it with "
            f"{INSTALL} (the Docker image has it), or give the days as 'dates'.",
            slug="extra-missing",
        )
