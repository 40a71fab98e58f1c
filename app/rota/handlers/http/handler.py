"""The built-in `http` handler: makes the task's request, and derives the outcome from the response.

A response of the type `application/vnd.rota.outcome+json` declares the outcome itself. After a 202 a target with
`async` reports the outcome later. Any other response succeeds or fails by its status; its result is
`{"status", "headers", "body"}`. The body is JSON if it is JSON, text if it is text, and otherwise null, with its size
in `body_bytes`; `"truncated": true` if only its beginning was read. The values of `target.kv_set` for that result are
written to the task's kv, with the success.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from rota.domain.http_target.outcome_document import LONGEST_WAIT
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
from rota.errors import AppError, Sealed
from rota.handlers.http.client import (
    HTTP_CLIENT,
    HttpClient,
    Request,
    Response,
    SendFailed,
    host_of,
)
from rota.handlers.http.request import Scope, request_of, scope_of
from rota.handlers.http.response import (
    apply_outcome,
    error_response,
    is_outcome,
    result_of,
)
from rota.handlers.outcomes import EndsWith, GoesOnOutside
from rota.handlers.registry import BUILT_IN, RegisteredHandler
from rota.sdk.contexts import Context

_ACCEPTED = 202
_GONE = 410
_NOT_OPENED = (
    "A header of the target cannot be decrypted: it is encrypted with a key that ROTA_ENCRYPTION_KEYS does not have, "
    "or the row of the task was changed outside Rota."
)


async def http(ctx: Context) -> Any:
    """Make the request of the task's `target`; its body is the task's `input`, with the kv entries in `target.kv`."""
    target, client = ctx.target, HTTP_CLIENT.get()
    if target is None:
        raise EndsWith(Fatal(RunError("http.target", "the task has no target")))
    if target.has_sealed_headers:
        raise Sealed(_NOT_OPENED)
    scope = await scope_of(ctx, target)
    response = await _call(client, target, request_of(ctx, target, scope))
    if is_outcome(response):
        return await apply_outcome(ctx, response)
    if response.status == _ACCEPTED and ctx.attempt_token:
        raise GoesOnOutside
    if code_matches(target.success_codes, response.status):
        result = await result_of(response)
        await _write_kv(ctx, target, {**scope, "result": result})
        return result
    raise EndsWith(_failure(target, response, client.clock.now()))


HTTP = RegisteredHandler(
    name=HTTP_HANDLER,
    function=http,
    kind="async",
    description=(http.__doc__ or "").strip(),
    source=BUILT_IN,
)


async def _call(client: HttpClient, target: Target, request: Request) -> Response:
    # One timeout for the whole exchange: a slow response that sends a byte now and then would pass all smaller ones.
    try:
        async with asyncio.timeout(target.timeout.total_seconds()):
            return await client.send(request)
    except TimeoutError:
        seconds = f"{target.timeout.total_seconds():g}"
        message = f"no complete response from {host_of(target.url)} within {seconds} s"
        raise EndsWith(Failed(RunError("http.timeout", message))) from None
    except SendFailed as error:
        raise EndsWith(Failed(RunError(error.kind, str(error)))) from None


async def _write_kv(ctx: Context, target: Target, scope: Scope) -> None:
    """Write the values of `kv_set` for the response; fails the attempt if that is not possible."""
    for key, template in target.kv_set.items():
        try:
            value = fill(template, scope, Budget(ctx.kv.max_value_bytes))
            if value is not ABSENT:
                await ctx.kv.set(key, value)
        except (MissingError, OverBudgetError, TemplateError) as error:
            raise EndsWith(Failed(_kv_set_error(key, str(error)))) from None
        except AppError as error:
            raise EndsWith(Failed(_kv_set_error(key, error.detail))) from None


def _kv_set_error(key: str, detail: str) -> RunError:
    message = f"/target/kv_set/{json_text.escape(key)} cannot be written: {detail}"
    return RunError("http.kv_set", json_text.printable(message, 2_000))


def _failure(target: Target, response: Response, now: datetime) -> Failed | Fatal | RetryRequested:
    message = f"{response.status} from {host_of(target.url)}"
    error = RunError("http.status", message, response=error_response(response))
    if code_matches(target.retry_codes, response.status):
        after = _retry_after(response.headers.get("retry-after", ""), now)
        return Failed(error) if after is None else RetryRequested(after, error, lengthens=True)
    if response.status == _GONE:
        return Fatal(error, FailReason.TARGET_GONE)
    return Fatal(error)


def _retry_after(text: str, now: datetime) -> timedelta | None:
    """Return the wait in a `Retry-After`: seconds or an HTTP date; None for any other text."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), LONGEST_WAIT.total_seconds()))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until - now, timedelta()), LONGEST_WAIT)
