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
from functools import partial
from typing import Any

from rota.daemon_threads import in_thread_if_large
from rota.domain.http_target.outcome_document import LONGEST_WAIT
from rota.domain.http_target.scope import Scope
from rota.domain.http_target.target import Target, code_matches
from rota.domain.http_target.templates import ABSENT, CANNOT_BE_FILLED, Budget, fill
from rota.domain.primitives import json_text
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Fatal, RetryRequested, TimedOut
from rota.domain.tasks.definition import HTTP_HANDLER
from rota.egress.circuit_breaker import Verdict
from rota.egress.client import HTTP_CLIENT
from rota.egress.redaction import Redactor
from rota.egress.requests import Request, Response, SendFailed, host_of
from rota.errors import AppError, Sealed
from rota.handlers.http.access_tokens import ACCESS_TOKENS
from rota.handlers.http.admission import HostCall, admitted
from rota.handlers.http.authorization import Sender, sender_of
from rota.handlers.http.oauth import TokenFailed
from rota.handlers.http.request import request_of, scope_of
from rota.handlers.http.response import (
    apply_outcome,
    error_response,
    is_outcome,
    result_of,
    without_unread_headers,
)
from rota.handlers.http.secrets import check_secrets, redactor_of, without_input_in_path
from rota.handlers.outcomes import EndsWith, GoesOnOutside
from rota.handlers.registry import BUILT_IN, RegisteredHandler
from rota.sdk.contexts import Context

_ACCEPTED = 202
_GONE = 410
# How many seconds of its timeout an attempt may have used up before its call without a word about that.
_BEFORE_THE_CALL = 0.1
# Their `Retry-After` is about the host, and not only about this call.
_ASK_FOR_A_PAUSE = frozenset({429, 503})
_MOVED = RunError(
    "http.redirect",
    "a 202 after a redirect: the outcome cannot be reported later, since the token is for the server of target.url",
)
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
    check_secrets(ctx, target)
    async with admitted(target, client.clock) as call:
        scope = await scope_of(ctx, target)
        request = request_of(ctx, target, scope)
        call.phases = request.phases
        sender = sender_of(ctx, target, scope, client, ACCESS_TOKENS.get())
        within = _time_limit(ctx, target, client.clock.monotonic())
        response = await _call(sender, request, call, redactor_of(ctx, request), within)
        response = without_input_in_path(ctx, target, response)
        _note(call, target, response, client.clock.now())
        if call.verdict is Verdict.DOWN:
            raise EndsWith(_failure(target, request, response, client.clock.now()))
    if is_outcome(response):
        return await apply_outcome(ctx, response)
    if response.status == _ACCEPTED and ctx.attempt_token:
        raise EndsWith(Fatal(_MOVED)) if response.redirected else GoesOnOutside
    if code_matches(target.success_codes, response.status):
        result = await result_of(response)
        await _write_kv(ctx, target, {**scope, "result": result})
        return result
    raise EndsWith(_failure(target, request, response, client.clock.now()))


HTTP = RegisteredHandler(
    name=HTTP_HANDLER,
    function=http,
    kind="async",
    description=(http.__doc__ or "").strip(),
    source=BUILT_IN,
)


def _time_limit(ctx: Context, target: Target, now: float) -> float:
    """Return how many seconds the call may take: it ends before its attempt does, so that its own end counts."""
    return min(target.timeout.total_seconds(), ctx.seconds_left(now))


async def _call(
    sender: Sender, request: Request, call: HostCall, redactor: Redactor, within: float
) -> Response:
    """Return the reply to a request, without the secrets of the request in it."""
    # One timeout for the whole exchange: a slow response that sends a byte now and then would pass all smaller ones.
    try:
        async with asyncio.timeout(within):
            response = without_unread_headers(await sender.send(request))
            redactor.add(*sender.secrets)
            if not redactor:
                return response
            redacted = partial(redactor.response, response)
            return await in_thread_if_large(redactor.cost(response), redacted)
    except TimeoutError:
        had_its_time = within > sender.target.timeout.total_seconds() / 2
        if sender.awaits_token_of is None and had_its_time:
            call.failed("http.timeout", request.phases.current)
        error = _timed_out(sender, request, within)
        # The time of the call, or what was left of that of the attempt.
        is_over = within < sender.target.timeout.total_seconds()
        raise EndsWith(TimedOut(error) if is_over else Failed(error)) from None
    except SendFailed as failed:
        call.failed(failed.kind, failed.phase)
        message = await _redacted(str(failed), sender, redactor)
        error = _broken_off(request, failed.kind, message)
        raise EndsWith(Fatal(error) if failed.final else Failed(error)) from None
    except TokenFailed as failed:
        message = await _redacted(str(failed), sender, redactor)
        error = _broken_off(request, "http.oauth", message)
        raise EndsWith(_without_token(failed, error, sender.client.clock.now())) from None


async def _redacted(text: str, sender: Sender, redactor: Redactor) -> str:
    redactor.add(*sender.secrets)
    return await in_thread_if_large(redactor.cost(), partial(redactor.text, text))


def _timed_out(sender: Sender, request: Request, within: float) -> RunError:
    seconds = sender.target.timeout.total_seconds()
    if seconds - within > _BEFORE_THE_CALL:
        seconds = round(max(within, 0.0), 3)
    if sender.awaits_token_of is not None:
        message = f"no access token from {sender.awaits_token_of} within {seconds:g} s"
        return _broken_off(request, "http.oauth", message)
    message = f"no complete response from {host_of(sender.target.url)} within {seconds:g} s"
    return _broken_off(request, "http.timeout", message)


def _broken_off(request: Request, kind: str, message: str) -> RunError:
    """Return the error of a call without a response, with the phase in which it failed."""
    phases = request.phases
    message = json_text.printable(message, 500)
    return RunError(kind, message, phase=phases.current, timings=phases.timings())


def _without_token(
    error: TokenFailed, failed: RunError, now: datetime
) -> Failed | Fatal | RetryRequested:
    if not error.passing:
        return Fatal(failed)
    after = retry_after(error.retry_after, now)
    return Failed(failed) if after is None else RetryRequested(after, failed, lengthens=True)


def _note(call: HostCall, target: Target, response: Response, now: datetime) -> None:
    """Note what a response tells of its host."""
    succeeded = is_outcome(response) or code_matches(target.success_codes, response.status)
    asks = not succeeded and response.status in _ASK_FOR_A_PAUSE
    pause = retry_after(response.headers.get("retry-after", ""), now) if asks else None
    call.answered(response.status, succeeded=succeeded, pause=pause)


async def _write_kv(ctx: Context, target: Target, scope: Scope) -> None:
    """Write the values of `kv_set` for the response; fails the attempt if that is not possible."""
    for key, template in target.kv_set.items():
        try:
            value = fill(template, scope, Budget(ctx.kv.max_value_bytes))
            if value is not ABSENT:
                await ctx.kv.set(key, value)
        except CANNOT_BE_FILLED as error:
            raise EndsWith(Failed(_kv_set_error(key, str(error)))) from None
        except AppError as error:
            raise EndsWith(Failed(_kv_set_error(key, error.detail))) from None


def _kv_set_error(key: str, detail: str) -> RunError:
    message = f"/target/kv_set/{json_text.escape(key)} cannot be written: {detail}"
    return RunError("http.kv_set", json_text.printable(message, 2_000))


def _failure(
    target: Target, request: Request, response: Response, now: datetime
) -> Failed | Fatal | RetryRequested:
    message = f"{response.status} from {host_of(target.url)}"
    error = RunError(
        "http.status",
        message,
        response=error_response(response),
        timings=request.phases.timings(),
    )
    if code_matches(target.retry_codes, response.status):
        after = retry_after(response.headers.get("retry-after", ""), now)
        return Failed(error) if after is None else RetryRequested(after, error, lengthens=True)
    if response.status == _GONE:
        return Fatal(error, FailReason.TARGET_GONE)
    return Fatal(error)


def retry_after(text: str, now: datetime) -> timedelta | None:
    """Return the wait in a `Retry-After`: seconds or an HTTP date; None for any other text."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        seconds = int(text.lstrip("0")[:9] or "0")  # more digits are more than a day anyway
        return timedelta(seconds=min(seconds, LONGEST_WAIT.total_seconds()))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until - now, timedelta()), LONGEST_WAIT)
