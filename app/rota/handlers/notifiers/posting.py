"""Posts to the address of a webhook: the same calls, limits, retries and errors as those of `http` tasks.

An address that is a named secret, or in a secret input, is shown nowhere: neither in errors nor in results.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from rota.domain.alerts.notifiers import LONGEST_CALL, url_fault
from rota.domain.http_target.signature import InvalidKey, Signature, keys_of
from rota.domain.http_target.target import Target, code_matches
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed
from rota.domain.secrets.binding import is_for, permits
from rota.domain.secrets.opened import OpenedSecret
from rota.domain.secrets.origins import origin_of
from rota.egress.client import HTTP_CLIENT, USER_AGENT
from rota.egress.origins.circuit_breaker import Verdict
from rota.egress.redaction import Redactor
from rota.egress.requests import Request, Response
from rota.errors import Sealed
from rota.handlers.http.access_tokens import ACCESS_TOKENS
from rota.handlers.http.admission import admitted
from rota.handlers.http.authorization import Sender
from rota.handlers.http.exchange import call_target, failure_of, note_response, time_limit
from rota.handlers.http.secrets import redactor_for
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context

_HIDDEN_PATH = "/[redacted]"


@dataclass(frozen=True, slots=True)
class Hook:
    """An address to post to; `hidden`: it is a secret. `keys` sign what is posted."""

    url: str
    hidden: bool
    keys: tuple[bytes, ...] = ()


def hook_of(
    ctx: Context, url: str | None, url_secret: str | None, signature: Signature | None = None
) -> Hook:
    """Return where an attempt posts to; fails it if a secret is missing, or may not be sent there."""
    hidden = ctx.secret_input or url_secret is not None
    address = url or _address(ctx, url_secret or "")
    if signature is None:
        return Hook(address, hidden)
    secret = _permitted(ctx, signature.secret, address, "/signature/secret")
    try:
        return Hook(address, hidden, keys_of(secret))
    except InvalidKey as error:
        message = f"the secret {secret.name!r} cannot sign: {error}"
        raise EndsWith(Failed(RunError("http.signature", message))) from None


async def post(ctx: Context, hook: Hook, body: bytes) -> int:
    """Post JSON; return the status of the reply. The attempt ends as that of an `http` task if it is not 2xx."""
    client = HTTP_CLIENT.get()
    target = Target(url=hook.url, timeout=LONGEST_CALL)
    async with admitted(target, client.clock) as call:
        request = Request("POST", hook.url, _headers(ctx), body, owner=ctx.task, phases=call.phases)
        sender = Sender(client, ACCESS_TOKENS.get(), target, ctx.run_id, keys=hook.keys)
        within = time_limit(ctx, target, client.clock.monotonic())
        response = await call_target(sender, request, call, _redactor(ctx, hook), within)
        response = _without_address(response, hook)
        note_response(call, target, response, client.clock.now())
        if call.verdict is Verdict.DOWN:
            raise EndsWith(failure_of(target, request, response, client.clock.now()))
    if not code_matches(target.success_codes, response.status):
        raise EndsWith(failure_of(target, request, response, client.clock.now()))
    return response.status


def _headers(ctx: Context) -> Mapping[str, str]:
    return {
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Idempotency-Key": ctx.idempotency_key,
    }


def _address(ctx: Context, name: str) -> str:
    """Return the value of a named secret that is an address, which must be on one of the servers it is bound to."""
    secret = _opened(ctx, name, "/url_secret")
    fault = url_fault(secret.value)
    if fault is not None:
        raise _failed(
            "secret.not_a_url", f"the secret {name!r} is no address: {fault}", "/url_secret"
        )
    _check(secret, ctx, secret.value, "/url_secret")
    return secret.value


def _permitted(ctx: Context, name: str, url: str, pointer: str) -> OpenedSecret:
    secret = _opened(ctx, name, pointer)
    _check(secret, ctx, url, pointer)
    return secret


def _opened(ctx: Context, name: str, pointer: str) -> OpenedSecret:
    """Return a secret that the task may send; one for other tasks is as one that is not there.

    Whoever runs the task can name any secret in the input, also one that their key does not see.
    """
    found = next((each for each in ctx.secrets if each.name == name), None)
    if found is None or not is_for(found, ctx.task):
        detail = f"there is no secret {name!r} that the task {ctx.task!r} may send"
        raise _failed("secret.missing", detail, pointer)
    if found.fault is not None:
        raise Sealed(f"/input{pointer}: {found.fault}")
    return found


def _check(secret: OpenedSecret, ctx: Context, url: str, pointer: str) -> None:
    detail = permits(secret, origin_of(url), ctx.task)
    if detail is not None:
        raise _failed("secret.not_permitted", detail, pointer)


def _redactor(ctx: Context, hook: Hook) -> Redactor:
    """Return what takes the secrets of the request out of its reply: an address is one, and so is its path."""
    redactor = redactor_for(ctx.secrets, {})
    if hook.hidden:
        parts = urlsplit(hook.url)
        redactor.add(hook.url, parts.path, unquote(parts.path), parts.query, *parts.path.split("/"))
    return redactor


def _without_address(response: Response, hook: Hook) -> Response:
    return replace(response, url_path=_HIDDEN_PATH) if hook.hidden else response


def _failed(kind: str, detail: str, pointer: str) -> EndsWith:
    return EndsWith(Failed(RunError(kind, f"/input{pointer}: {detail}")))
