"""Calls of the API from within its process: as a client would make them, with the rights of the session.

The dashboard has no other way to read or to change anything, so that nothing is possible there that a key could not do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope

from rota.api.middleware.auth import SESSION
from rota.domain.access.principal import LOCAL, Principal
from rota.domain.access.session import Session
from rota.domain.primitives.json import json_text

# Headers by which the API judges where a request comes from; all others are of the page.
_PASSED_ON: Final = frozenset(
    {
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-request-id",
        b"last-event-id",
    }
)
_FORWARDED: Final = b"x-forwarded"

Parameters = Mapping[str, Any]
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Reply:
    """What the API has answered: its status, headers by their names in lower case, and its body."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes

    @cached_property
    def content(self) -> Any:
        """The JSON of the body; None without one."""
        return json_text.loads(self.body) if self.body else None


class ApiProblemError(Exception):
    """The API has refused a call; `problem` is the problem document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail", ""))
        self.status = status
        self.problem = problem


class ApiClient:
    """Calls the API for one request of the dashboard."""

    def __init__(self, app: ASGIApp, scope: Scope, session: Session | None) -> None:
        """`scope`: that of the request to the dashboard."""
        self._app = app
        self._scope = scope
        self._session = session
        #: Who the API took the session for at its latest call; None: it was refused, or nothing was called yet.
        self.caller: Principal | None = None

    def without_session(self) -> "ApiClient":
        """Return a client that calls as somebody who is not signed in."""
        return ApiClient(self._app, self._scope, None)

    async def get(self, *path: str, **parameters: Any) -> Any:
        """Return the JSON at a path, whose parts are escaped; raises ApiProblemError."""
        return (await self.call("GET", path, parameters)).content

    async def find(self, *path: str, **parameters: Any) -> Any:
        """Return the JSON at a path, None if the session may not see it or it is not there."""
        try:
            return await self.get(*path, **parameters)
        except ApiProblemError as error:
            if error.status in {403, 404}:
                return None
            raise

    async def readiness(self) -> Any:
        """Return what `/readyz` says, the problem of a service that is not ready included."""
        scope = {**self.scope_of("GET", (), {}), "path": "/readyz", "raw_path": b"/readyz"}
        return (await self._exchange(scope, b"")).content

    async def post(self, *path: str, body: Any = None, **parameters: Any) -> Any:
        """Return what a command returns; raises ApiProblemError."""
        return (await self.call("POST", path, parameters, body)).content

    async def call(
        self,
        method: str,
        path: Sequence[str],
        parameters: Parameters,
        body: Any = None,
        headers: Headers = (),
    ) -> Reply:
        """Make a call, with further headers; raises ApiProblemError for a refusal.

        A body of bytes is sent as it is, with the Content-Type in the headers, any other as JSON.
        """
        if isinstance(body, bytes):
            content = body
        else:
            content = b"" if body is None else json_text.dumps(body).encode()
            headers = (*headers, (b"content-type", b"application/json")) if content else headers
        scope = self.scope_of(method, path, parameters, content)
        scope["headers"] += headers
        reply = await self._exchange(scope, content)
        if reply.status >= 400:
            raise ApiProblemError(reply.status, reply.content or {})
        return reply

    def scope_of(
        self, method: str, path: Sequence[str], parameters: Parameters, content: bytes = b""
    ) -> Scope:
        """Return the scope of a call, with the rights of the session and the origin of the request."""
        quoted = "/v1/" + "/".join(quote(part, safe="") for part in path)
        given = {name: value for name, value in parameters.items() if value not in (None, "", ())}
        headers = [each for each in self._scope["headers"] if _is_passed_on(each[0])]
        if content:
            headers.append((b"content-length", str(len(content)).encode()))
        scope = {
            **self._scope,
            "method": method,
            "path": "/v1/" + "/".join(path),
            "raw_path": quoted.encode(),
            "query_string": urlencode(given, doseq=True).encode(),
            "headers": headers,
        }
        return scope if self._session is None else {**scope, SESSION: self._session}

    async def _exchange(self, scope: Scope, content: bytes) -> Reply:
        received = _Received()
        await self._app(scope, _sending(content), received.send)
        self.caller = scope.get("rota.principal", LOCAL)
        return received.reply()


class _Received:
    """Collects a response."""

    def __init__(self) -> None:
        self._start: Message = {"status": 500, "headers": ()}
        self._body: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._body.append(message.get("body", b""))

    def reply(self) -> Reply:
        headers = {name.lower(): value for name, value in self._start["headers"]}
        return Reply(self._start["status"], headers, b"".join(self._body))


def _sending(content: bytes) -> Receive:
    left: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        return left.pop() if left else {"type": "http.disconnect"}

    return receive


def _is_passed_on(name: bytes) -> bool:
    return name in _PASSED_ON or name.startswith(_FORWARDED)
