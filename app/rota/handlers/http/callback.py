"""How a target reports an outcome later: the token and the addresses that are sent with the request."""

from collections.abc import Mapping
from contextvars import ContextVar

from rota.sdk.contexts import Context

#: The public address of the service (ROTA_PUBLIC_URL), without a slash at its end; empty if it is not set. The executor
#: sets it for the handlers' loop. It never comes from a request, whose sender would receive the tokens.
PUBLIC_URL: ContextVar[str] = ContextVar("rota_public_url", default="")


def callback_headers(ctx: Context) -> Mapping[str, str]:
    """Return the headers by which the target of this attempt can complete it; none if it cannot.

    The token is in a header of its own and never in an address, since addresses are logged.
    """
    if not ctx.attempt_token:
        return {}
    headers, base = {"X-Rota-Token": ctx.attempt_token}, PUBLIC_URL.get()
    if base:
        of_run = f"{base}/v1/runs/{ctx.run_id}"
        headers["X-Rota-Complete-URL"] = f"{of_run}/complete"
        headers["X-Rota-Heartbeat-URL"] = f"{of_run}/heartbeat"
    return headers
