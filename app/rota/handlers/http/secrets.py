"""The named secrets of a request: whether it may send them, and the redaction of what comes back of them."""

from collections.abc import Iterator

from rota.domain.http_target.target import Target, looks_secret
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed
from rota.domain.secrets.binding import permits
from rota.egress.redaction import Redactor
from rota.egress.requests import Request
from rota.errors import Sealed
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context

# A header of the user's that looks secret by its name, and is none.
_SHOWN = "idempotency-key"


def check_secrets(ctx: Context, target: Target) -> None:
    """End the attempt if it must not send a secret that it refers to: it is gone, or bound to others by now."""
    there = {each.name: each for each in ctx.secrets}
    for use in target.secret_uses:
        found = there.get(use.name)
        if found is None:
            raise _failed(
                "secret.missing", f"there is no secret {use.name!r} any more", use.pointer
            )
        if found.fault is not None:
            raise Sealed(f"/target{use.pointer}: {found.fault}")
        detail = permits(found, use.origin, ctx.task)
        if detail is not None:
            raise _failed("secret.not_permitted", detail, use.pointer)


def redactor_of(ctx: Context, request: Request) -> Redactor:
    """Return the redactor for the replies to a request: of the named secrets, and the headers that look secret.

    These have the token of the attempt, and what was filled in from a secret input.
    """
    named = (value for each in ctx.secrets for value in (each.value, each.previous) if value)
    return Redactor([*named, *_in_headers(request)])


def _in_headers(request: Request) -> Iterator[str]:
    """Yield what the secret headers hold, with and without a scheme (`Bearer`) before it."""
    for name, value in request.headers.items():
        if looks_secret(name) and name.lower() != _SHOWN:
            yield value
            yield value.partition(" ")[2]


def _failed(kind: str, detail: str, pointer: str) -> EndsWith:
    return EndsWith(Failed(RunError(kind, f"/target{pointer}: {detail}")))
