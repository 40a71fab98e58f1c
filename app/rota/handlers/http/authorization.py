"""Requests as they leave: authorized and signed as the target says."""

import re
from dataclasses import dataclass, field, replace
from typing import assert_never

from rota.domain.http_target.auth import Auth, BasicAuth, BearerAuth, OAuth2Auth, texts_of
from rota.domain.http_target.phases import CallPhase
from rota.domain.http_target.request_headers import MOST_VALUE
from rota.domain.http_target.signature import InvalidKey, keys_of, signature_headers
from rota.domain.http_target.target import Target, code_matches
from rota.domain.http_target.templates.filling import CANNOT_BE_FILLED, Budget, fill, to_text
from rota.domain.http_target.templates.scope import Scope
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed
from rota.egress.client import HttpClient
from rota.egress.requests import Request, Response, host_of
from rota.handlers.http.access_tokens import PATIENCE_SECONDS, AccessTokens
from rota.handlers.http.oauth import Grant, basic
from rota.handlers.http.request import with_secrets
from rota.handlers.http.response import is_outcome
from rota.handlers.outcomes import EndsWith
from rota.sdk.contexts import Context

_UNAUTHORIZED = 401
_TOKEN = re.compile(r"[\x21-\x7e]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(slots=True)
class Sender:
    """Sends the request of one attempt, with what authorizes it, and its signature.

    `header` is the value of `Authorization`, unless a token has to be asked for by `grant`. `secrets` are the values
    that were sent, for the redactor; they are complete when there is a response.
    """

    client: HttpClient
    tokens: AccessTokens
    target: Target
    run_id: str
    header: str | None = field(default=None, repr=False)
    grant: Grant | None = None
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    secrets: set[str] = field(default_factory=set, repr=False)
    #: The host whose token is awaited.
    awaits_token_of: str | None = None

    async def send(self, request: Request) -> Response:
        """Send a request, without a timeout; raises SendFailed and TokenFailed.

        If the target refuses an access token, it is asked once more, with a new one: the token may have been revoked.
        """
        if self.grant is None:
            return await self._send(request, self.header)
        token = await self._token(self.grant, request)
        response = await self._send(request, f"Bearer {token}")
        # What another server refuses, to which a redirect has led, had no token.
        if request.phases.is_elsewhere or not self._is_refusal(response):
            return response
        self.tokens.forget(self.grant, token)
        return await self._send(request, f"Bearer {await self._token(self.grant, request)}")

    def _is_refusal(self, response: Response) -> bool:
        if response.status != _UNAUTHORIZED or is_outcome(response):
            return False
        return not code_matches(self.target.success_codes, _UNAUTHORIZED)

    async def _token(self, grant: Grant, request: Request) -> str:
        request.phases.enter(CallPhase.AUTH)
        self.awaits_token_of = host_of(grant.token_url)
        # Of a short timeout most is for the call itself.
        patience = min(PATIENCE_SECONDS, self.target.timeout.total_seconds() / 4)
        token = await self.tokens.get(self.client, grant, patience)
        self.awaits_token_of = None
        self.secrets.add(token)
        return token

    async def _send(self, request: Request, authorization: str | None) -> Response:
        if authorization is None and not self.keys:
            return await self.client.send(request)
        headers = dict(request.headers)
        if authorization is not None:
            headers["Authorization"] = authorization
        if self.keys:
            seconds = int(self.client.clock.now().timestamp())
            headers |= signature_headers(self.keys, self.run_id, seconds, request.body or b"")
        return await self.client.send(replace(request, headers=headers))


def sender_of(
    ctx: Context, target: Target, scope: Scope, client: HttpClient, tokens: AccessTokens
) -> Sender:
    """Return what sends the request of an attempt; fails the attempt if a secret is missing, or cannot be sent."""
    sender = Sender(client, tokens, target, ctx.run_id, keys=_keys(ctx, target))
    if target.auth is not None:
        values = _filled(target.auth, with_secrets(ctx, scope))
        _authorize(sender, target.auth, values)
    return sender


def _authorize(sender: Sender, auth: Auth, values: dict[str, str]) -> None:
    match auth:
        case BearerAuth():
            token = values["token"]
            if not _TOKEN.fullmatch(token):
                raise _failed(
                    "target.auth.token has a space, or characters that a token cannot have"
                )
            sender.header = f"Bearer {token}"
            sender.secrets.add(token)
        case BasicAuth():
            if ":" in values["username"]:
                raise _failed("target.auth.username has a colon, which would end it (RFC 7617)")
            sender.header = basic(values["username"], values["password"])
            sender.secrets |= {sender.header.removeprefix("Basic "), values["password"]}
        case OAuth2Auth():
            sender.grant = Grant(
                auth.token_url,
                values["client_id"],
                values["client_secret"],
                values.get("scope", ""),
                values.get("audience", ""),
                auth.client_auth,
            )
            sender.secrets.add(values["client_secret"])
        case _:
            assert_never(auth)
    sender.secrets.discard("")


def _filled(auth: Auth, scope: Scope) -> dict[str, str]:
    """Return the texts of `auth` by field; what was given is there, and can be sent."""
    budget = Budget()
    values = {}
    for name, text in texts_of(auth).items():
        value = _fill(name, text, scope, budget)
        if _CONTROLS.search(value):
            # Without the value, which may be a secret.
            raise _failed(
                f"target.auth.{name} has control characters, such as a line break at its end"
            )
        if len(value) > MOST_VALUE:
            raise _failed(
                f"target.auth.{name} has {len(value):,} characters; the limit is {MOST_VALUE:,}"
            )
        if text and not value:
            raise _failed(f"target.auth.{name} is empty")
        values[name] = value
    return values


def _fill(name: str, text: str, scope: Scope, budget: Budget) -> str:
    try:
        return to_text(fill(text, scope, budget))
    except CANNOT_BE_FILLED as error:
        raise _failed(f"target.auth.{name} cannot be filled in: {error}") from None


def _keys(ctx: Context, target: Target) -> tuple[bytes, ...]:
    if target.signature is None:
        return ()
    name = target.signature.secret
    secret = next((each for each in ctx.secrets if each.name == name), None)
    if secret is None:
        raise _unsigned(f"there is no secret {name!r}, which target.signature names")
    try:
        return keys_of(secret)
    except InvalidKey as error:
        raise _unsigned(f"the secret {name!r} cannot sign: {error}") from None


def _failed(message: str) -> EndsWith:
    return EndsWith(Failed(RunError("http.auth", message)))


def _unsigned(message: str) -> EndsWith:
    return EndsWith(Failed(RunError("http.signature", message)))
