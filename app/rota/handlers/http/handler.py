"""The built-in `http` handler: makes the task's request and judges the reply.

A reply of the type `application/vnd.rota.outcome+json` says itself what the attempt comes to. Any
other succeeds or not by its status, and gives the result `{"status", "headers", "body"}`: the body
as JSON if it is JSON, as text if it is text, else null beside its size in `body_bytes`;
`"truncated": true` if only its beginning was read. What `target.kv_set` makes of that result is
written to the task's kv, with the success.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from rota.domain.http_target.target import Target, code_matches
from rota.domain.http_target.templates import (
    ABSENT,
    Budget,
    MissingError,
    OverBudgetError,
    TemplateError,
    fill,
)
from rota.domain.primitives import json_text
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Fatal, RetryRequested
from rota.domain.tasks.definition import HTTP_HANDLER
from rota.errors import AppError
from rota.handlers.http.client import EGRESS, Egress, Reply, Request, SendFailed, host_of
from rota.handlers.http.request import Scope, request_of, scope_of
from rota.handlers.http.response import error_response, follow, is_outcome, shown
from rota.handlers.outcomes import EndsWith
from rota.handlers.registry import BUILT_IN, RegisteredHandler
from rota.sdk.contexts import Context

_LONGEST_WAIT = timedelta(days=1)
_GONE = 410


async def http(ctx: Context) -> Any:
    """Make the request of the task's `target`; the task's `input` is its body, with the kv entries it asks for."""
    target, egress = ctx.target, EGRESS.get()
    if target is None:
        raise EndsWith(Fatal(RunError("http.target", "the task has no target")))
    scope = await scope_of(ctx, target)
    reply = await _call(egress, target, request_of(ctx, target, scope))
    if is_outcome(reply):
        return await follow(ctx, reply)
    if code_matches(target.success_codes, reply.status):
        result = await shown(reply)
        await _keep_state(ctx, target, {**scope, "result": result})
        return result
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


async def _keep_state(ctx: Context, target: Target, scope: Scope) -> None:
    """Write what `kv_set` makes of the reply; ends the attempt as failed if that cannot be."""
    for key, template in target.kv_set.items():
        try:
            value = fill(template, scope, Budget(ctx.kv.max_value_bytes))
            if value is not ABSENT:
                await ctx.kv.set(key, value)
        except (MissingError, OverBudgetError, TemplateError) as error:
            raise EndsWith(Failed(_unkept(key, str(error)))) from None
        except AppError as error:
            raise EndsWith(Failed(_unkept(key, error.detail))) from None


def _unkept(key: str, detail: str) -> RunError:
    message = f"/target/kv_set/{json_text.escape(key)} cannot be written: {detail}"
    return RunError("http.kv_set", json_text.printable(message, 2_000))


def _refusal(target: Target, reply: Reply, now: datetime) -> Failed | Fatal | RetryRequested:
    message = f"{reply.status} from {host_of(target.url)}"
    error = RunError("http.status", message, response=error_response(reply))
    if code_matches(target.retry_codes, reply.status):
        after = _retry_after(reply.headers.get("retry-after", ""), now)
        return Failed(error) if after is None else RetryRequested(after, error, lengthens=True)
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
