"""The built-in `http` handler: makes the task's request and judges the reply.

A reply of the type `application/vnd.rota.outcome+json` says itself what the attempt comes to. Any
other succeeds or not by its status, and gives the result `{"status", "headers", "body"}`: the body
as JSON if it is JSON, as text if it is text, else null beside its size in `body_bytes`;
`"truncated": true` if only its beginning was read.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from app.domain import values
from app.domain.instants import format_instant
from app.domain.runs import Failed, FailReason, Fatal, RetryAsked, RunError
from app.domain.targets import Target, code_matches
from app.domain.tasks import HTTP_HANDLER
from app.handlers.egress import (
    EGRESS,
    USER_AGENT,
    Egress,
    Reply,
    Request,
    SendFailed,
    host_of,
    with_query,
)
from app.handlers.outcomes import EndsWith
from app.handlers.registry import BUILT_IN, RegisteredHandler
from app.handlers.replies import follow, is_outcome, shown
from app.sdk import Context

_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})
_LONGEST_WAIT = timedelta(days=1)
_GONE = 410


async def http(ctx: Context) -> Any:
    """Make the request of the task's `target`; the task's `input` is its body."""
    target, egress = ctx.target, EGRESS.get()
    if target is None:
        raise EndsWith(Fatal(RunError("http.target", "the task has no target")))
    reply = await _call(egress, target, _request(ctx, target))
    if is_outcome(reply):
        return await follow(ctx, reply)
    if code_matches(target.success_codes, reply.status):
        return shown(reply)
    raise EndsWith(_refusal(target, reply, egress.clock.now()))


HTTP = RegisteredHandler(
    name=HTTP_HANDLER,
    function=http,
    kind="async",
    description=(http.__doc__ or "").strip(),
    source=BUILT_IN,
)


async def _call(egress: Egress, target: Target, request: Request) -> Reply:
    # One deadline over all: a reply that drips a byte now and then meets every smaller one.
    try:
        async with asyncio.timeout(target.timeout.total_seconds()):
            return await egress.send(request)
    except TimeoutError:
        seconds = f"{target.timeout.total_seconds():g}"
        message = f"no complete reply from {host_of(target.url)} within {seconds} s"
        raise EndsWith(Failed(RunError("http.timeout", message))) from None
    except SendFailed as error:
        raise EndsWith(Failed(RunError(error.kind, str(error)))) from None


def _request(ctx: Context, target: Target) -> Request:
    body = target.body
    if body is None and target.method not in _WITHOUT_BODY:
        body = ctx.input
        has_body = True
    else:
        has_body = body is not None
    return Request(
        target.method,
        with_query(target.url, target.query),
        _headers(ctx, target, has_body=has_body),
        values.dumps(body).encode() if has_body else None,
    )


def _headers(ctx: Context, target: Target, *, has_body: bool) -> Mapping[str, str]:
    """Return the request's headers: defaults, over them the target's, over them Rota's own."""
    defaults = {"User-Agent": USER_AGENT, "Accept": "*/*", "Idempotency-Key": ctx.idempotency_key}
    if has_body:
        defaults["Content-Type"] = "application/json"
    own = {
        # What is compressed could not be bounded.
        "Accept-Encoding": "identity",
        "X-Rota-Task": ctx.task,
        "X-Rota-Run": str(ctx.run_id),
        "X-Rota-Attempt": str(ctx.attempt),
        "X-Rota-Scheduled-For": format_instant(ctx.scheduled_for),
    }
    merged: dict[str, tuple[str, str]] = {}
    for headers in (defaults, target.headers, own):
        merged.update((name.lower(), (name, value)) for name, value in headers.items())
    return dict(merged.values())


def _refusal(target: Target, reply: Reply, now: datetime) -> Failed | Fatal | RetryAsked:
    error = RunError("http.status", f"{reply.status} from {host_of(target.url)}")
    if code_matches(target.retry_codes, reply.status):
        after = _retry_after(reply.headers.get("retry-after", ""), now)
        return Failed(error) if after is None else RetryAsked(after, error)
    if reply.status == _GONE:
        return Fatal(error, FailReason.TARGET_GONE)
    return Fatal(error)


def _retry_after(text: str, now: datetime) -> timedelta | None:
    """Read seconds or an HTTP date; None for anything else."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), _LONGEST_WAIT.total_seconds()))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until - now, timedelta()), _LONGEST_WAIT)
