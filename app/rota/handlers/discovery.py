"""The handlers of this process: those in the settings, those in entry points, and the built-in `http` and `ping`."""

from collections.abc import Sequence

from rota.handlers.http.handler import HTTP
from rota.handlers.loading import load
from rota.handlers.ping import PING
from rota.handlers.registry import Registry


def discover(entries: Sequence[str]) -> Registry:
    """Return all handlers; raises Invalid, with the cause, for an entry without handlers."""
    return Registry((HTTP, PING, *load(entries)))
