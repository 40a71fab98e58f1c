"""The built-in `http` handler: makes the task's request, and derives the outcome from the response.

A response of the type `application/vnd.rota.outcome+json` declares the outcome itself. After a 202 a target with
`async` reports the outcome later. Any other response succeeds or fails by its status; its result is
`{"status", "headers", "body"}`. The body is JSON if it is JSON, text if it is text, and otherwise null, with its size
in `body_bytes`; `"truncated": true` if only its beginning was read. The values of `target.kv_set` for that result are
written to the task's kv, with the success.
"""

from typing import Any

from rota.domain.http_target.target import Target, code_matches
from rota.domain.http_target.templates.filling import ABSENT, CANNOT_BE_FILLED, Budget, fill
from rota.domain.http_target.templates.scope import Scope
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed, Fatal
from rota.domain.tasks.definition import HTTP_HANDLER
from rota.egress.client import HTTP_CLIENT
from rota.egress.origins.circuit_breaker import Verdict
from rota.errors import AppError, Sealed
from rota.handlers.http.access_tokens import ACCESS_TOKENS
from rota.handlers.http.admission import admitted
from rota.handlers.http.authorization import sender_of
from rota.handlers.http.exchange import call_target, failure_of, note_response, time_limit
from rota.handlers.http.request import request_of, scope_of
from rota.handlers.http.response import (
    apply_outcome,
    is_outcome,
    result_of,
)
from rota.handlers.http.secrets import check_secrets, redactor_of, without_input_in_path
from rota.handlers.outcomes import EndsWith, GoesOnOutside
from rota.handlers.registry import BUILT_IN, RegisteredHandler
from rota.sdk.contexts import Context

_ACCEPTED = 202
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
        within = time_limit(ctx, target, client.clock.monotonic())
        response = await call_target(sender, request, call, redactor_of(ctx, request), within)
        ctx.note_timings(request.phases.timings())
        response = without_input_in_path(ctx, target, response)
        note_response(call, target, response, client.clock.now())
        if call.verdict is Verdict.DOWN:
            raise EndsWith(failure_of(target, request, response, client.clock.now()))
    if is_outcome(response):
        return await apply_outcome(ctx, response)
    if response.status == _ACCEPTED and ctx.attempt_token:
        raise EndsWith(Fatal(_MOVED)) if response.redirected else GoesOnOutside
    if code_matches(target.success_codes, response.status):
        result = await result_of(response)
        await _write_kv(ctx, target, {**scope, "result": result})
        return result
    raise EndsWith(failure_of(target, request, response, client.clock.now()))


HTTP = RegisteredHandler(
    name=HTTP_HANDLER,
    function=http,
    kind="async",
    description=(http.__doc__ or "").strip(),
    source=BUILT_IN,
)


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
