"""The request of an `http` task: its target, filled in from the input, the run, kv entries and secrets."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from rota.domain import trace_context
from rota.domain.http_target.request_headers import (
    MOST_IN_ALL,
    MOST_VALUE,
    can_be_sent,
    is_reserved,
    is_too_much,
)
from rota.domain.http_target.target import WITHOUT_BODY, Target
from rota.domain.http_target.templates.filling import (
    ABSENT,
    CANNOT_BE_FILLED,
    MOST_FILLED,
    Budget,
    MissingError,
    OverBudgetError,
    fill,
    to_text,
)
from rota.domain.http_target.templates.scope import Scope, scope_of_run
from rota.domain.http_target.templates.urls import fill_url
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed
from rota.egress.client import USER_AGENT
from rota.egress.requests import Request, with_query
from rota.handlers.http.bodies import content_type_of, encode
from rota.handlers.http.callback import callback_headers
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context

# What of it a body has that the target does not give.
_IN_BODY = ("input", "kv", "run")


async def scope_of(ctx: Context, target: Target) -> Scope:
    """Return the scope of a request; its entries are from the attempt's snapshot, whose revision writes refer to."""
    if not target.kv:
        # The target answers without having read the table: writes since the attempt began must conflict.
        ctx.kv.hold()
    return scope_of_run(
        id=ctx.run_id,
        attempt=ctx.attempt,
        failures=ctx.failures,
        trigger=ctx.trigger,
        task=ctx.task,
        task_id=ctx.task_id,
        scheduled_for=ctx.scheduled_for,
        input=ctx.input,
        kv=await _entries(ctx, target.kv),
    )


def with_secrets(ctx: Context, scope: Scope) -> Scope:
    """Return the scope of what may have secrets: headers and `auth`. Bodies may consist of the scope itself."""
    return {**scope, "secret": {each.name: each.value for each in ctx.secrets}}


def request_of(ctx: Context, target: Target, scope: Scope) -> Request:
    """Return the request; fails the attempt if a reference leads nowhere, or the filled-in values are too large."""
    budget = Budget()
    try:
        filled = _filled(ctx, target, scope, budget)
        request = _request(ctx, filled, _body(target, scope, budget))
        _check_size(target, request)
    except MissingError as error:
        raise EndsWith(
            Failed(RunError("http.template", f"the request needs it, but {error}"))
        ) from None
    except CANNOT_BE_FILLED as error:
        raise EndsWith(
            Failed(RunError("http.template", f"the request cannot be filled in: {error}"))
        ) from None
    return request


def _check_size(target: Target, request: Request) -> None:
    """Raise OverBudgetError if the filled-in body is too large."""
    size = len(request.body or b"")
    if target.has_body_template and size > MOST_FILLED:
        raise OverBudgetError(f"its body would have {size:,} bytes; the limit is {MOST_FILLED:,}")


async def _entries(ctx: Context, requested: tuple[str, ...]) -> dict[str, Any]:
    """Return the requested entries by key; a key that does not exist has null."""
    found: dict[str, Any] = {}
    for each in requested:
        if each.endswith("*"):
            found |= dict(await ctx.kv.items(each[:-1]))
        else:
            found[each] = await ctx.kv.get(each)
    return {key: _as_json(value) for key, value in found.items()}


def _as_json(value: Any) -> Any:
    # Values that are not JSON are shown as in the API.
    if isinstance(value, bytes):
        return {"value": b64encode(value).decode(), "encoding": "base64"}
    return value


def _filled(ctx: Context, target: Target, scope: Scope, budget: Budget) -> Target:
    """Return the target with its templates filled in; null values are left out of the query and the headers.

    Only headers can have secrets. The scope of the others has none, whatever the target says.
    """
    secrets = with_secrets(ctx, scope)
    query = {name: fill(value, scope, budget) for name, value in target.query.items()}
    filled = {name: fill(value, secrets, budget) for name, value in target.headers.items()}
    headers = {
        name: _in_header(name, value)
        for name, value in filled.items()
        if _has_value(value) and not is_reserved(name)
    }
    if is_too_much(headers):
        raise OverBudgetError(f"its headers have more than {MOST_IN_ALL:,} characters, the limit")
    return target.model_copy(
        update={
            "url": fill_url(target.url, scope, budget),
            "query": {name: _in_query(value) for name, value in query.items() if _has_value(value)},
            "headers": headers,
        }
    )


def _has_value(value: Any) -> bool:
    return value is not None and value is not ABSENT


def _in_query(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) else to_text(value)


def _in_header(name: str, value: Any) -> str:
    text = to_text(value)
    if len(text) > MOST_VALUE:
        raise OverBudgetError(
            f"the header {name!r} has {len(text):,} characters; the limit is {MOST_VALUE:,}"
        )
    if not can_be_sent(text):
        # Without the value, which may be a secret.
        message = f"the header {name!r} cannot be sent: its value has characters that a header cannot have"
        raise EndsWith(Failed(RunError("http.template", message)))
    return text


def _request(ctx: Context, target: Target, body: Any) -> Request:
    """Return the request of a filled-in target; `body` is ABSENT if it has none."""
    has_body = body is not ABSENT
    headers = _headers(ctx, target, has_body=has_body)
    return Request(
        target.method,
        with_query(target.url, target.query),
        headers,
        encode(target, body, headers) if has_body else None,
        owner=ctx.task,
        follow_redirects=target.follow_redirects,
    )


def _body(target: Target, scope: Scope, budget: Budget) -> Any:
    """Return the body: that of the target, or else the input (with the run and the entries, if any); ABSENT for none.

    A body that is filled in with null stays null; the input does not replace it.
    """
    if target.body is not None:
        return fill(target.body, scope, budget) if target.has_body_template else target.body
    if target.method in WITHOUT_BODY:
        return ABSENT
    return {name: scope[name] for name in _IN_BODY} if target.kv else scope["input"]


def _headers(ctx: Context, target: Target, *, has_body: bool) -> Mapping[str, str]:
    """Return the headers: defaults, overridden by the target's, overridden by Rota's own."""
    defaults = {"User-Agent": USER_AGENT, "Accept": "*/*", "Idempotency-Key": ctx.idempotency_key}
    if ctx.traceparent is not None:
        defaults[trace_context.HEADER] = ctx.traceparent
    if has_body:
        defaults["Content-Type"] = content_type_of(target)
    own = {
        # The size of a compressed body could not be limited.
        "Accept-Encoding": "identity",
        "X-Rota-Task": ctx.task,
        "X-Rota-Run": ctx.run_id,
        "X-Rota-Chain": ctx.chain_id,
        "X-Rota-Attempt": str(ctx.attempt),
        "X-Rota-Scheduled-For": format_instant(ctx.scheduled_for),
        **callback_headers(ctx),
    }
    merged: dict[str, tuple[str, str]] = {}
    for headers in (defaults, target.headers, own):
        merged.update((name.lower(), (name, value)) for name, value in headers.items())
    return dict(merged.values())
