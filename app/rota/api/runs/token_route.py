"""Routes for the owner of an attempt's token: everything else is refused with the body unread.

The secrets of the request are removed from what the owner sends: a target may echo them, as in a reply.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from rota.api.http.routing import QUICK_BYTES, StrictRequest, StrictRoute, has_body
from rota.api.http.services import Services
from rota.domain.primitives.ids import to_id
from rota.egress.redaction import Redactor
from rota.errors import Invalid, NotFound
from rota.store.completion.sent_secrets import secrets_sent
from rota.store.runs.claiming.tokens import TOKEN_LENGTH, Grant, find_grant

#: What a wrong token gets, and an unknown run.
UNKNOWN = "There is no such run, or this is not the token of one of its attempts."
_HOW_TO_SEND_IT = (
    "Send the token of the attempt, which came with the request to the target or with the lease: "
    "X-Rota-Token: <token>, or Authorization: Bearer <token>."
)
_NO_JSON_LEFT = (
    "The body is not JSON without the secrets in it, which Rota takes out before it reads it: one of them, or the "
    "token, is in it outside of a text."
)
_GRANT = "rota.grant"
_REDACTION = "rota.redaction"
# How many times longer it takes to take one secret out of a body than to parse it.
_REDACTING = 8


@dataclass(frozen=True, slots=True)
class _Redaction:
    redactor: Redactor
    only_token: bool

    def cost(self, body: bytes) -> int:
        """Return the size of a body that takes about as long to parse as this one to redact."""
        return len(body) * _REDACTING if self.only_token else QUICK_BYTES + 1


class _RedactedRequest(StrictRequest):
    """A request whose body is read without the secrets in it."""

    def _cost(self, body: bytes) -> int:
        redaction: _Redaction = self.scope[_REDACTION]
        return redaction.cost(body)

    def _read(self, body: bytes) -> Any:
        redaction: _Redaction = self.scope[_REDACTION]
        redacted = redaction.redactor.body(body)
        try:
            return super()._read(redacted)
        except Invalid:
            if redacted == body:
                raise
            raise Invalid(_NO_JSON_LEFT) from None


class TokenRoute(StrictRoute):
    """A route for the owner of a token."""

    request_type = _RedactedRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def granted(request: Request) -> Response:
            token = _token_of(request)
            grant = await _find_grant(request, token)
            request.scope[_GRANT] = grant
            if has_body(request):
                request.scope[_REDACTION] = await run_in_threadpool(
                    _redaction, request.app.state.services, grant, token
                )
            return await handle(request)

        return granted


def grant_of(request: Request) -> Grant:
    """Return what the token of a request on a TokenRoute grants."""
    grant: Grant = request.scope[_GRANT]
    return grant


async def _find_grant(request: Request, token: str) -> Grant:
    """Return what a token grants. Raises the same error for a wrong token as for an unknown run."""
    try:
        run_id = to_id(request.path_params["id"])
    except ValueError:
        raise NotFound(UNKNOWN) from None
    if len(token) != TOKEN_LENGTH or not token.isascii():
        raise NotFound(UNKNOWN)
    services: Services = request.app.state.services
    grant = await services.reader.run(lambda connection: find_grant(connection, run_id, token))
    if grant is None:
        raise NotFound(UNKNOWN)
    return grant


def _token_of(request: Request) -> str:
    token = request.headers.get("x-rota-token", "").strip()
    if token:
        return token
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given.strip():
        return given.strip()
    raise HTTPException(401, _HOW_TO_SEND_IT, {"www-authenticate": "Bearer"})


def _redaction(services: Services, grant: Grant, token: str) -> _Redaction:
    with services.database.read() as connection:
        sent = secrets_sent(connection, grant, services.clock.now())
    return _Redaction(Redactor((token, *sent.values), sent.texts), only_token=not sent)
