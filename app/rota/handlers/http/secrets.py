"""The named secrets of a request: whether it may send them, and the redaction of what comes back of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from rota.domain.http_target.target import Target, looks_secret
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed
from rota.domain.secrets.binding import permits
from rota.domain.secrets.opened import OpenedSecret
from rota.egress.requests import Request, Response
from rota.errors import Sealed
from rota.handlers.http.redaction import SHORTEST, Redactor
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context

#: How many texts of a secret input are looked for in replies, and how many characters they may have together.
MOST_INPUT_TEXTS: Final = 500
MOST_INPUT_CHARACTERS: Final = 131_072
# What is before a secret in a header, and none itself.
_SCHEMES = frozenset({"apikey", "basic", "bearer", "digest", "token"})
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
    """Return the redactor for the replies to a request of an attempt."""
    secret_input = ctx.input if ctx.secret_input else None
    return redactor_for(
        ctx.secrets, request.headers, secret_input=secret_input, token=ctx.attempt_token
    )


def redactor_for(
    secrets: Iterable[OpenedSecret],
    headers: Mapping[str, str],
    *,
    secret_input: Any = None,
    token: str = "",
) -> Redactor:
    """Return what takes these out of what a target says.

    They are the named secrets, the token of the attempt, the values of the filled-in `headers` that look secret, and
    the texts of an input that is secret.
    """
    named = (value for each in secrets for value in (each.value, each.previous) if value)
    return Redactor([*named, token, *_in_headers(headers)], _texts_in(secret_input))


def without_input_in_path(ctx: Context, target: Target, response: Response) -> Response:
    """Return a response with the path as the target has it, if a secret input may be in the one that was asked for.

    A redactor does not find short values, such as the number of a customer.
    """
    if not ctx.secret_input or "{{" not in target.url:
        return response
    return replace(response, url_path=urlsplit(target.url).path)


def _in_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield what the secret headers hold, without a scheme (`Bearer`) before it."""
    for name, value in headers.items():
        if looks_secret(name) and name.lower() != _SHOWN:
            scheme, _, rest = value.partition(" ")
            yield rest if scheme.lower() in _SCHEMES and len(rest) >= SHORTEST else value
            if " " in value:
                yield rest


def _texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a JSON value, up to the limits."""
    texts = 0
    left = MOST_INPUT_CHARACTERS
    waiting = [value]
    while waiting and texts < MOST_INPUT_TEXTS and left > 0:
        match waiting.pop():
            case str(text) if len(text) >= SHORTEST:
                yield text[:left].encode("utf-8", "ignore").decode()
                texts, left = texts + 1, left - len(text)
            case list(items):
                waiting.extend(reversed(items))
            case dict(members):
                waiting.extend(reversed(members.values()))


def _failed(kind: str, detail: str, pointer: str) -> EndsWith:
    return EndsWith(Failed(RunError(kind, f"/target{pointer}: {detail}")))
