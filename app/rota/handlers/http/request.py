"""The request that an `http` task makes: its target, filled in with the input, the run and the entries it asks for."""

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
from rota.handlers.http.client import USER_AGENT, Request, charset_of, is_json, with_query
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context

#: What templates refer to: `input`, `kv`, `run`, and, when there is a reply, `result`.
Scope = Mapping[str, Any]

_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})


async def scope_of(ctx: Context, target: Target) -> Scope:
    """Return what the request can tell; the entries are those of the attempt's snapshot, which writes go by."""
    if not target.kv:
        # Whoever answers has not seen the table: what was written since the attempt began is news to them.
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
    """Return the request to make; ends the attempt as failed if a reference leads nowhere, or all to too much."""
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
    """Raise OverBudgetError for a body that was filled in and came out larger than one may be."""
    size = len(request.body or b"")
    if target.kv and target.body is not None and size > MOST_FILLED:
        raise OverBudgetError(f"its body would have {size:,} bytes; the limit is {MOST_FILLED:,}")


async def _entries(ctx: Context, asked: tuple[str, ...]) -> dict[str, Any]:
    """Return the entries that a target asks for; null for a key that is not there."""
    found: dict[str, Any] = {}
    for each in asked:
        if each.endswith("*"):
            found |= dict(await ctx.kv.items(each[:-1]))
        else:
            found[each] = await ctx.kv.get(each)
    return {key: _as_json(value) for key, value in found.items()}


def _as_json(value: Any) -> Any:
    # Other bytes as the API shows them inside JSON.
    if isinstance(value, bytes):
        return {"value": b64encode(value).decode(), "encoding": "base64"}
    return value


def _filled(target: Target, scope: Scope, budget: Budget) -> Target:
    """Return the target with its templates filled in; what is null is left out of the query and the headers."""
    query = {name: fill(value, scope, budget) for name, value in target.query.items()}
    headers = {name: fill(value, scope, budget) for name, value in target.headers.items()}
    return target.model_copy(
        update={
            "query": {name: _in_query(value) for name, value in query.items() if _is_there(value)},
            "headers": {
                name: _in_header(name, value) for name, value in headers.items() if _is_there(value)
            },
        }
    )


def _is_there(value: Any) -> bool:
    return value is not None and value is not ABSENT


def _in_query(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) else to_text(value)


def _in_header(name: str, value: Any) -> str:
    text = to_text(value)
    if not can_be_sent(text):
        # Not the value itself: it may be a secret.
        message = (
            f"the header {name!r} cannot be sent: its value has characters that no header takes"
        )
        raise EndsWith(Failed(RunError("http.template", message)))
    return text


def _request(ctx: Context, target: Target, body: Any) -> Request:
    """Return the request of a target that is filled in; `body` is ABSENT if it has none."""
    has_body = body is not ABSENT
    headers = _headers(ctx, target, has_body=has_body)
    return Request(
        target.method,
        with_query(target.url, target.query),
        headers,
        _encoded(body, headers) if has_body else None,
    )


def _encoded(body: Any, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a body: a text of another type than JSON as it is, everything else as JSON."""
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
    """Return the body: that of the target, else the input, with the entries if it has any; ABSENT if there is none.

    One that is filled in with null is null all the same: who asked for it gets no input instead.
    """
    if target.body is not None:
        return fill(target.body, scope, budget) if target.kv else target.body
    if target.method in _WITHOUT_BODY:
        return ABSENT
    return dict(scope) if target.kv else scope["input"]


def _headers(ctx: Context, target: Target, *, has_body: bool) -> Mapping[str, str]:
    """Return the request's headers: defaults, over them the target's, over them Rota's own."""
    defaults = {"User-Agent": USER_AGENT, "Accept": "*/*", "Idempotency-Key": ctx.idempotency_key}
    if has_body:
        defaults["Content-Type"] = "application/json"
    own = {
        # What is compressed could not be bounded.
        "Accept-Encoding": "identity",
        "X-Rota-Task": ctx.task,
        "X-Rota-Run": ctx.run_id,
        "X-Rota-Attempt": str(ctx.attempt),
        "X-Rota-Scheduled-For": format_instant(ctx.scheduled_for),
    }
    merged: dict[str, tuple[str, str]] = {}
    for headers in (defaults, target.headers, own):
        merged.update((name.lower(), (name, value)) for name, value in headers.items())
    return dict(merged.values())
