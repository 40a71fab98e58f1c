"""The built-in `ping` handler, of tasks whose work is done elsewhere and reported with pings."""

from rota.handlers.registry import BUILT_IN, RegisteredHandler
from rota.sdk.contexts import Context


async def ping(_ctx: Context) -> None:
    """Do nothing, and succeed: the work is done outside of Rota, and `POST /v1/tasks/{name}/ping` reports its end."""


PING = RegisteredHandler(
    name="ping",
    function=ping,
    kind="async",
    description=(ping.__doc__ or "").strip(),
    source=BUILT_IN,
)
