"""The handlers of this process: those in the settings, those in entry points, and the built-in `http` and `ping`."""

from collections.abc import Sequence

from rota.handlers.http.handler import HTTP
from rota.handlers.loading import load
from rota.handlers.ping import PING
from rota.handlers.registry import Registry


def discover(entries: Sequence[str]) -> Registry:
    """Return all handlers; raises Invalid, with the cause, for an entry without handlers.

    A handler `ping` that somebody had before Rota took the name is the one that is meant.
    """
    loaded = tuple(load(entries))
    taken = {each.name for each in loaded}
    return Registry((HTTP, *(each for each in (PING,) if each.name not in taken), *loaded))
