"""Clients with any scopes and limits, for the two teams that share the service of these tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.scopes import Scope
from tests.api.service import Api, serving

KEY = "k" * 16
_HEADER = b"x-acts-as"
_KNOWN: list[Principal] = []

#: What a key of a team can have: `admin` is for those who keep the service.
TEAM = tuple(scope for scope in Scope if scope is not Scope.ADMIN)
OURS, THEIRS = NameLimit(("ours-",)), NameLimit(("theirs-",))


def client(
    *scopes: Scope, tasks: NameLimit = UNLIMITED, queues: NameLimit = UNLIMITED
) -> Principal:
    """Return a client with these scopes, limited to these names."""
    named = "+".join(sorted(scopes))
    return Principal(
        label="key:test",
        idempotency_scope=f"test:{named}:{tasks.prefixes}",
        scopes=frozenset(scopes),
        tasks=tasks,
        queues=queues,
    )


def with_key(api: Api, caller: Principal) -> dict[str, str]:
    """Return the headers of the requests of a client with a stored key of these scopes and limits, made once."""
    made: dict[Principal, str] = api.app.state.__dict__.setdefault("keys_of_tests", {})
    if caller not in made:
        limits = {"tasks": caller.tasks.prefixes, "queues": caller.queues.prefixes}
        body = {"name": "a key of tests", "scopes": sorted(caller.scopes), **limits}
        answer = api.post("/v1/keys", json=body)
        assert answer.status_code == 201, answer.text
        made[caller] = answer.json()["key"]
    return {"authorization": f"Bearer {made[caller]}"}


def headers_of(caller: Principal) -> dict[str, str]:
    """Return the headers of a client that acts as one with these scopes and limits, before any service is there."""
    if caller not in _KNOWN:
        _KNOWN.append(caller)
    place = str(_KNOWN.index(caller))
    return {"authorization": f"Bearer {KEY}", _HEADER.decode(): place}


@contextmanager
def shared(url: str, **settings: Any) -> Iterator[Api]:
    """Serve with a key; the calls of the returned client are those of an administrator."""
    acting = Middleware(_ActingAs)
    headers = {"authorization": f"Bearer {KEY}"}
    with serving(url, headers=headers, api_key=(KEY,), behind_the_gate=[acting], **settings) as api:
        yield api


class _ActingAs:
    """Puts the client that a request names in the place of the one whose key it has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        place = dict(scope.get("headers", ())).get(_HEADER)
        if place is not None:
            assert scope["rota.principal"] is not None, "only for a request with a key"
            scope["rota.principal"] = _KNOWN[int(place)]
        await self._app(scope, receive, send)
