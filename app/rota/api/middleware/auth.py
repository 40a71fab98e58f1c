"""Authentication: API keys; without one, on loopback only, programs of this machine: no web pages, no proxies."""

import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rota.api.http.clients.stored_keys import StoredKeys
from rota.api.middleware.holding import Held, may_stay_open, sends_body
from rota.api.middleware.local_requests import check_local
from rota.api.problems.problem import problem_response
from rota.domain.access.keys import is_meant_as_key, parse_key
from rota.domain.access.principal import Principal
from rota.domain.access.session import Session
from rota.domain.access.stored_key import Proof

#: Where a request of the dashboard has its session in the scope; a client cannot put one there.
SESSION = "rota.session"

_OPEN = frozenset({"/", "/healthz", "/readyz", "/docs", "/guide", "/llms.txt", "/openapi.json"})
# Pages without stored data; a browser cannot send a key when it opens them.
_OPEN_BELOW = ("/docs/", "/guide/", "/problems/")
# Feeds of calendars.
_BY_PASSWORD = frozenset({"/v1/upcoming.ics"})
# Routes that check the token of an attempt themselves: it is all that a request needs there.
_BY_TOKEN = re.compile(r"/v1/runs/[^/]+/(complete|heartbeat)")
# Badges, alone or those of a tag: the routes show those that tasks make public without a key, and no others.
_BADGE = re.compile(r"/v1/tasks/[^/]+/badge\.svg|/v1/status")


@dataclass(frozen=True, slots=True)
class _Known:
    """A key and its client. Rows and responses contain only its place: a digest would confirm a guess."""

    key: bytes
    principal: Principal

    @classmethod
    def of(cls, key: str, place: int) -> Self:
        encoded = key.encode()
        # The same whatever keys are set beside it. It is stored for a day and never shown, and takes long to be tried.
        slow = hashlib.scrypt(encoded, salt=b"rota idempotency keys", n=2**14, r=8, p=1, dklen=16)
        scope = f"key:{slow.hex()}"
        return cls(encoded, Principal(label=f"key:{place}", idempotency_scope=scope))


class Gate:
    """ASGI middleware. With keys: `Authorization: Bearer …` on everything but health and documentation.

    Without (loopback only): the request must come from this machine and not through a proxy, its `Host` must be a
    loopback name, and a foreign web page is refused, so that a page in this machine's browser can reach the service
    neither directly nor by rebinding a name.
    """

    def __init__(
        self, app: ASGIApp, keys: Sequence[str], stored: StoredKeys, *, is_local: bool
    ) -> None:
        """`keys`: those of ROTA_API_KEY. `is_local`: without any keys, programs of this machine need none."""
        self._app = app
        self._keys = [_Known.of(key, place) for place, key in enumerate(keys, 1)]
        self._stored = stored
        self._is_local = is_local and not keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or takes_token(scope["path"]):
            await self._app(scope, receive, send)
            return
        serve = await self._judge(scope, Headers(scope=scope))
        await serve(scope, receive, send)

    async def _judge(self, scope: Scope, headers: Headers) -> ASGIApp:
        """Return what serves a request, or refuses it; note its client in the scope."""
        session: Session | None = scope.get(SESSION)
        if session is not None:
            return await self._resume(scope, headers, session)
        given = given_key(scope["path"], headers)
        known = None if given is None else self._known(given)
        if known is not None:
            scope["rota.principal"] = known.principal
            return self._app
        open_to_all = is_open(scope["path"])
        needs_none = open_to_all or _is_badge(scope)
        meant = given is not None and is_meant_as_key(given)
        if (meant or self._is_local) and not open_to_all:
            await self._stored.be_current()
        if self._is_local and not self._stored.are_there:
            return check_local(scope, headers) or (
                self._app if needs_none else self._without_key(scope)
            )
        scope["rota.principal"] = None
        found = self._stored_key(given) if given is not None and meant else _unknown(headers)
        if isinstance(found, Proof):
            return self._admit(scope, headers, found)
        if needs_none:
            return self._app
        return _unauthorized(self._with_reason(found, headers), scope["path"])

    async def _resume(self, scope: Scope, headers: Headers, session: Session) -> ASGIApp:
        """Return what serves a request of a session of the dashboard, as if it had sent the key of the session."""
        scope["rota.principal"] = None
        if session.key_id is None or session.key_digest is None:
            for known in self._keys:
                if known.principal.idempotency_scope == session.principal:
                    scope["rota.principal"] = known.principal
                    return self._app
            return _unauthorized("The key of this session is not set any more.", scope["path"])
        await self._stored.be_current()
        proof = self._stored.resume(session.key_id, session.key_digest)
        fault = "This key is not known." if proof is None else self._stored.fault(proof)
        if proof is None or fault is not None:
            return _unauthorized(f"{fault}", scope["path"])
        return self._admit(scope, headers, proof)

    def _known(self, given: str) -> _Known | None:
        encoded = given.encode()
        # All keys are compared, in constant time, even after a match.
        fits = [known for known in self._keys if hmac.compare_digest(encoded, known.key)]
        return fits[0] if fits else None

    def _stored_key(self, given: str) -> Proof | str:
        """Return the proof of a key that is accepted now, or why it is not: only its holder learns more."""
        key = parse_key(given)
        if key is None:
            return "This key looks mistyped or cut off: its checksum does not fit."
        proof = self._stored.prove(key)
        return "This key is not known." if proof is None else (self._stored.fault(proof) or proof)

    def _admit(self, scope: Scope, headers: Headers, proof: Proof) -> ASGIApp:
        self._stored.use(proof)
        scope["rota.principal"] = proof.key.principal
        stays = may_stay_open(scope)
        if not stays and not sends_body(headers):
            return self._app
        return Held(self._app, self._stored, proof, _unauthorized, until_read=not stays)

    def _without_key(self, scope: Scope) -> ASGIApp:
        if not may_stay_open(scope):
            return self._app
        return Held(self._app, self._stored, None, _unauthorized)

    def _with_reason(self, detail: str, headers: Headers) -> str:
        """Return the detail of a refusal; on loopback, where there may have been no keys before, also why."""
        if "authorization" in headers or not self._is_local:
            return detail
        return f"{detail} The service has stored keys (rota key list), so each request needs one."


def given_key(path: str, headers: Headers) -> str | None:
    """Return the key that a request has sent; None if it has sent none.

    Calendars can send a user name and a password only, so that for their feed a key may be the password.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return given.strip()
        case "basic" if path in _BY_PASSWORD:
            return _password(given.strip())
        case _:
            return None


def _password(credentials: str) -> str | None:
    """Return the password of HTTP Basic (RFC 7617); None if it cannot be read."""
    try:
        _, colon, password = b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return None
    return password if colon else None


def _unknown(headers: Headers) -> str:
    if "authorization" in headers:
        return "This key is not known."
    return "Send the header Authorization: Bearer <key>."


def _unauthorized(detail: str, path: str = "") -> ASGIApp:
    """Return the refusal of a request; where a password will do, it has programs ask for one."""
    asks = 'Basic realm="Rota", charset="UTF-8"' if path in _BY_PASSWORD else "Bearer"
    return problem_response(
        401, "unauthorized", "A key is needed", detail, headers={"www-authenticate": asks}
    )


def _is_badge(scope: Scope) -> bool:
    return _BADGE.fullmatch(scope["path"]) is not None and scope["method"] in {"GET", "HEAD"}


def is_open(path: str) -> bool:
    """Return whether a path needs no key."""
    return path in _OPEN or path.startswith(_OPEN_BELOW) or takes_token(path)


def takes_token(path: str) -> bool:
    """Return whether a path is for holders of the token of an attempt only, on any bind address."""
    return _BY_TOKEN.fullmatch(path) is not None
