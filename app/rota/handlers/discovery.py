"""The handlers of this process: those in the settings, those in entry points, and the built-in ones."""

from collections.abc import Sequence

from rota.handlers.http.handler import HTTP
from rota.handlers.loading import load
from rota.handlers.notifiers.email import EMAIL_HANDLER
from rota.handlers.notifiers.hooks import HOOKS
from rota.handlers.ping import PING
from rota.handlers.registry import Registry

#: `http`, and the notifiers.
BUILT_IN_HANDLERS = (HTTP, *HOOKS, EMAIL_HANDLER)


def discover(entries: Sequence[str]) -> Registry:
    """Return all handlers; raises Invalid, with the cause, for an entry without handlers.

    A handler `ping` that somebody had before Rota took the name is the one that is meant.
    """
    loaded = tuple(load(entries))
    taken = {each.name for each in loaded}
    ping = () if PING.name in taken else (PING,)
    return Registry((*BUILT_IN_HANDLERS, *ping, *loaded))
