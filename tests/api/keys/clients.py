"""A service with a key of ROTA_API_KEY, and clients with keys that it has made."""

from datetime import timedelta
from typing import Any

import httpx

from rota.domain.primitives.times.instants import format_instant
from tests.api.service import Api

ADMIN = "an-administrator-of-tests"
#: The id of no key.
UNKNOWN = "a" * 12


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def made(api: Api, *scopes: str, **fields: Any) -> dict[str, Any]:
    """Make a key; return it with its secret."""
    body = {"name": "a key of tests", "scopes": list(scopes)} | fields
    answer = api.post("/v1/keys", json=body, headers=bearer(ADMIN))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def client(api: Api, key: str) -> Api:
    """Return a client of the same service with another key."""
    return Api(api.portal, api.app, bearer(key))


def asked(api: Api, key: str, path: str = "/v1/tasks") -> httpx.Response:
    return api.get(path, headers=bearer(key))


def later(api: Api, **time: int) -> str:
    return format_instant(api.app.state.services.clock.now() + timedelta(**time))
