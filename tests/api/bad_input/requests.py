"""Registrations to change, and ways to send them."""

from typing import Any

import pytest

from tests.api.service import MANUAL, Api
from tests.support.databases import POSTGRESQL_AT_LENGTH

#: For what is accepted, or looked up.
on_both = pytest.mark.parametrize("shared", POSTGRESQL_AT_LENGTH, indirect=True)

TASK = {"handler": "echo", "schedule": MANUAL}
GREET = {"handler": "greet", "input": {"name": "Ada"}, "schedule": MANUAL}
HTTP = {"handler": "http", "target": {"url": "http://127.0.0.1:9/"}, "schedule": MANUAL}
JSON = {"Content-Type": "application/json"}
MEBIBYTE = 1_048_576


def post(api: Api, body: Any, path: str = "/v1/tasks") -> Any:
    return api.post(path, json=body)


def raw(api: Api, body: bytes | str, path: str = "/v1/tasks") -> Any:
    content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return api.post(path, content=content, headers=JSON)
