"""The request of an `http` task: its target, with templates filled in from the input, the run and kv entries."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from rota.domain.http_target.target import Target, can_be_sent
from rota.domain.http_target.templates import (
    ABSENT,
    MOST_FILLED,
    Budget,
    MissingError,
    OverBudgetError,
    TemplateError,
    fill,
    to_text,
)
from rota.domain.primitives import json_text
from rota.domain.primitives.instants import format_instant
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed
from rota.handlers.http.callback import callback_headers
from rota.handlers.http.client import USER_AGENT, Request, charset_of, is_json, with_query
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context

#: The values that templates refer to: `input`, `kv`, `run`, and after the response `result`.
Scope = Mapping[str, Any]

_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})


async def scope_of(ctx: Context, target: Target) -> Scope:
    """Return the scope of a request; its entries are from the attempt's snapshot, whose revision writes refer to."""
    if not target.kv:
        # The target answers without having read the table: writes since the attempt began must conflict.
        ctx.kv.hold()
    return {
        "input": ctx.input,
        "kv": await _entries(ctx, target.kv),
        "run": {
            "id": ctx.run_id,
            "attempt": ctx.attempt,
            "task": ctx.task,
            "scheduled_for": format_instant(ctx.scheduled_for),
            "idempotency_key": ctx.idempotency_key,
        },
    }


def request_of(ctx: Context, target: Target, scope: Scope) -> Request:
    """Return the request; fails the attempt if a reference leads nowhere, or the filled-in values are too large."""
    budget = Budget()
    try:
        filled = _filled(target, scope, budget) if target.kv else target
        request = _request(ctx, filled, _body(target, scope, budget))
        _check_size(target, request)
    except MissingError as error:
        raise EndsWith(
            Failed(RunError("http.template", f"the request needs it, but {error}"))
        ) from None
    except (OverBudgetError, TemplateError) as error:
        raise EndsWith(
            Failed(RunError("http.template", f"the request cannot be filled in: {error}"))
        ) from None
    return request


def _check_size(target: Target, request: Request) -> None:
    """Raise OverBudgetError if the filled-in body is too large."""
    size = len(request.body or b"")
    if target.kv and target.body is not None and size > MOST_FILLED:
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


def _filled(target: Target, scope: Scope, budget: Budget) -> Target:
    """Return the target with its templates filled in; null values are left out of the query and the headers."""
    query = {name: fill(value, scope, budget) for name, value in target.query.items()}
    headers = {name: fill(value, scope, budget) for name, value in target.headers.items()}
    return target.model_copy(
        update={
            "query": {name: _in_query(value) for name, value in query.items() if _has_value(value)},
            "headers": {
                name: _in_header(name, value)
                for name, value in headers.items()
                if _has_value(value)
            },
        }
    )


def _has_value(value: Any) -> bool:
    return value is not None and value is not ABSENT


def _in_query(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) else to_text(value)


def _in_header(name: str, value: Any) -> str:
    text = to_text(value)
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
        _encoded(body, headers) if has_body else None,
    )


def _encoded(body: Any, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a body: a text as it is if the content type is not JSON, any other value as JSON."""
    declared = next(value for name, value in headers.items() if name.lower() == "content-type")
    if not isinstance(body, str) or is_json(declared):
        return json_text.render(body).encode()
    charset = charset_of(declared)
    try:
        return body.encode(charset)
    except UnicodeEncodeError:
        message = f"the body cannot be sent: it has characters that {charset} does not have"
        raise EndsWith(Failed(RunError("http.body", message))) from None


def _body(target: Target, scope: Scope, budget: Budget) -> Any:
    """Return the body: that of the target, or else the input (the whole scope if it has entries); ABSENT for none.

    A body that is filled in with null stays null; the input does not replace it.
    """
    if target.body is not None:
        return fill(target.body, scope, budget) if target.kv else target.body
    if target.method in _WITHOUT_BODY:
        return ABSENT
    return dict(scope) if target.kv else scope["input"]


def _headers(ctx: Context, target: Target, *, has_body: bool) -> Mapping[str, str]:
    """Return the headers: defaults, overridden by the target's, overridden by Rota's own."""
    defaults = {"User-Agent": USER_AGENT, "Accept": "*/*", "Idempotency-Key": ctx.idempotency_key}
    if has_body:
        defaults["Content-Type"] = "application/json"
    own = {
        # The size of a compressed body could not be limited.
        "Accept-Encoding": "identity",
        "X-Rota-Task": ctx.task,
        "X-Rota-Run": ctx.run_id,
        "X-Rota-Attempt": str(ctx.attempt),
        "X-Rota-Scheduled-For": format_instant(ctx.scheduled_for),
        **callback_headers(ctx),
    }
    merged: dict[str, tuple[str, str]] = {}
    for headers in (defaults, target.headers, own):
        merged.update((name.lower(), (name, value)) for name, value in headers.items())
    return dict(merged.values())
