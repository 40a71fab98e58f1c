"""The handlers of this process: what the settings name, entry points, and the built-in `http`."""

from collections.abc import Sequence

from app.handlers.http import HTTP
from app.handlers.loading import load
from app.handlers.registry import Registry


def discover(entries: Sequence[str]) -> Registry:
    """Return all handlers; raises Invalid, with the cause, for an entry that gives none."""
    return Registry((HTTP, *load(entries)))
