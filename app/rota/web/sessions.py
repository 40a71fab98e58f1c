"""Signing in with an API key, and out: a row in the database, and its token in a cookie that no script can read."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from rota.api.http.services import Services
from rota.api.middleware.origins import ADDRESS
from rota.domain.access.keys import parse_key
from rota.domain.access.principal import Principal
from rota.domain.access.session import LIFETIME, Session, digest_of, new_token
from rota.store.access.sessions import BeginSession, EndSession, EndSessions, find_session
from rota.web.api_client import ApiClient, ApiProblemError

_COOKIE: Final = "rota_session"
_PATH: Final = "/ui"
_MOST_BROWSER: Final = 200


async def session_of(request: Request, services: Services) -> Session | None:
    """Return the session of the cookie, None without one and for one that is over."""
    token = request.cookies.get(_COOKIE)
    if not token:
        return None
    found = await services.reader.run(find_session, digest_of(token))
    return found if found is not None and found.expires_at > services.clock.now() else None


async def sign_in(
    app: ASGIApp, request: Request, services: Services, given: str, response: Response
) -> None:
    """Begin a session with a key, and put its cookie into the response; raises ApiProblemError for a wrong key."""
    principal = await _principal_of(app, request.scope, given)
    key = parse_key(given) if principal.key_id is not None else None
    token = new_token()
    command = BeginSession(
        digest=digest_of(token),
        principal=principal.idempotency_scope,
        key_id=None if key is None else key.id,
        key_digest=None if key is None else key.digest,
        address=request.scope.get(ADDRESS),
        browser=request.headers.get("user-agent", "")[:_MOST_BROWSER] or None,
    )
    await services.writer.run(command)
    response.set_cookie(
        _COOKIE,
        token,
        max_age=int(LIFETIME.total_seconds()),
        path=_PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


async def sign_out(
    request: Request, services: Services, response: Response, *, everywhere: bool
) -> None:
    """End the session, or all sessions of its key, and remove the cookie."""
    token, session = request.cookies.get(_COOKIE), await session_of(request, services)
    if session is not None and everywhere:
        await services.writer.run(EndSessions(session.principal))
    elif token:
        await services.writer.run(EndSession(digest_of(token)))
    response.delete_cookie(_COOKIE, path=_PATH, httponly=True, samesite="lax")


async def _principal_of(app: ASGIApp, scope: Scope, given: str) -> Principal:
    """Return the client of a key, by a request that has no effect; raises ApiProblemError for one that is refused.

    It passes through the checks of each request, so that trying keys here is slowed as it is elsewhere.
    """
    noted: dict[str, Principal | None] = {}

    async def asked(inner: Scope, receive: object, send: object) -> None:
        with_key = [*inner["headers"], (b"authorization", f"Bearer {given}".encode())]
        made = {**inner, "headers": with_key}
        await app(made, receive, send)  # type: ignore[arg-type]  # as ASGI has them
        noted["principal"] = made.get("rota.principal")

    try:
        await ApiClient(asked, scope, None).get("keys", "self")
    except ApiProblemError as error:
        if error.status in {401, 429}:
            raise
    principal = noted.get("principal")
    if principal is None:
        raise ApiProblemError(401, _NO_KEYS)
    return principal


_NO_KEYS: Mapping[str, str] = {"detail": "This service has no keys: none is needed on its machine."}
