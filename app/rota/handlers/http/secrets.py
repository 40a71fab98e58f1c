"""The named secrets of a request: whether it may send them, and the redaction of what comes back of them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from rota.domain.chains.result_merge import without_runs
from rota.domain.http_target.sent_secrets import named_values, texts_in, values_in_headers
from rota.domain.http_target.target import Target
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed
from rota.domain.secrets.binding import is_for, permits
from rota.domain.secrets.opened import OpenedSecret
from rota.egress.redaction import Redactor
from rota.egress.requests import Request, Response
from rota.errors import Sealed
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context


def check_secrets(ctx: Context, target: Target) -> None:
    """End the attempt if it must not send a secret that it refers to: it is gone, or bound to others by now."""
    there = {each.name: each for each in ctx.secrets}
    for use in target.secret_uses:
        found = there.get(use.name)
        if found is None:
            raise _failed(
                "secret.missing", f"there is no secret {use.name!r} any more", use.pointer
            )
        if not is_for(
            found, ctx.task
        ):  # for which ones, and for which servers, is not for its team to know
            hidden = f"the secret {use.name!r} is not for the task {ctx.task!r}"
            raise _failed("secret.not_permitted", hidden, use.pointer)
        if found.fault is not None:
            raise Sealed(f"/target{use.pointer}: {found.fault}")
        detail = permits(found, use.origin, ctx.task)
        if detail is not None:
            raise _failed("secret.not_permitted", detail, use.pointer)


def redactor_of(ctx: Context, request: Request) -> Redactor:
    """Return the redactor for the replies to a request of an attempt."""
    # What is shown of predecessors' runs (`"succeeded"`) is no secret, and occurs in replies.
    secret_input = (without_runs(ctx.input) or ctx.input) if ctx.secret_input else None
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
    values = [*named_values(secrets), token, *values_in_headers(headers)]
    return Redactor(values, texts_in(secret_input))


def without_input_in_path(ctx: Context, target: Target, response: Response) -> Response:
    """Return a response with the path as the target has it, if a secret input may be in the one that was asked for.

    A redactor does not find short values, such as the number of a customer.
    """
    if not ctx.secret_input or "{{" not in target.url:
        return response
    return replace(response, url_path=urlsplit(target.url).path)


def _failed(kind: str, detail: str, pointer: str) -> EndsWith:
    return EndsWith(Failed(RunError(kind, f"/target{pointer}: {detail}")))
