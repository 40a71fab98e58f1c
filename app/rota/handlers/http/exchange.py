"""One exchange with a target, and the outcome of an attempt whose call failed."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

from rota.daemon_threads import in_thread_if_large
from rota.domain.http_target.outcome_document import LONGEST_WAIT
from rota.domain.http_target.target import Target, code_matches
from rota.domain.primitives.json import json_text
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Fatal, RetryRequested, TimedOut
from rota.egress.redaction import Redactor
from rota.egress.requests import Request, Response, SendFailed, host_of
from rota.handlers.http.admission import HostCall
from rota.handlers.http.authorization import Sender
from rota.handlers.http.oauth import TokenFailed
from rota.handlers.http.response import error_response, is_outcome, without_unread_headers
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context

_GONE = 410
# How many seconds of its timeout an attempt may have used up before its call without a word about that.
_BEFORE_THE_CALL = 0.1
# Their `Retry-After` is about the host, and not only about this call.
_ASK_FOR_A_PAUSE = frozenset({429, 503})


def time_limit(ctx: Context, target: Target, now: float) -> float:
    """Return how many seconds the call may take: it ends before its attempt does, so that its own end counts."""
    return min(target.timeout.total_seconds(), ctx.seconds_left(now))


async def call_target(
    sender: Sender, request: Request, call: HostCall, redactor: Redactor, within: float
) -> Response:
    """Return the reply to a request, without the secrets of the request in it."""
    # One timeout for the whole exchange: a slow response that sends a byte now and then would pass all smaller ones.
    try:
        async with asyncio.timeout(within):
            response = without_unread_headers(await sender.send(request))
            redactor.add(*sender.secrets, *sender.client.secrets)
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
    redactor.add(*sender.secrets, *sender.client.secrets)
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


def note_response(call: HostCall, target: Target, response: Response, now: datetime) -> None:
    """Record what a response shows about its host."""
    succeeded = is_outcome(response) or code_matches(target.success_codes, response.status)
    asks = not succeeded and response.status in _ASK_FOR_A_PAUSE
    pause = retry_after(response.headers.get("retry-after", ""), now) if asks else None
    call.answered(response.status, succeeded=succeeded, pause=pause)


def failure_of(
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
