"""Secrets of every kind, for a service whose replies, logs and database must show none of them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import select

from rota.db import tables
from rota.db.engine import Database
from rota.settings import Settings
from tests.support.secret_search import found_in

HANDLERS = "tests.contract.handlers"
API_KEY = "a-key-of-the-service/1"
SEALING = "lxTQbQ0xX3tNPtMVj2bWk2gTnWf3z7uJ4Yt1mJ3rXkA="
STORED, BEFORE, OF_ENVIRONMENT = "hunter2/stored+more", "hunter1/stored+before", "hunter3 of & env"
LITERAL, INPUT = "hunter4/in+a header", "hunter5/in+an input"
#: Values that nothing returns.
SECRETS = (API_KEY, SEALING, STORED, BEFORE, OF_ENVIRONMENT, LITERAL, INPUT)
#: What replies show, but neither logs nor the file: it is encrypted there.
IN_KV = "hunter6/of+a table"
WITH_KEY = {"Authorization": f"Bearer {API_KEY}"}
#: Tasks that all operations are aimed at, one after another.
TASKS = ("there", "there-http", "there-sealed")


@dataclass
class Present:
    """What there is, by the names of the path parameters that lead to it."""

    runs: dict[str, str]
    _turn: int = field(default=0, init=False)

    def next(self, *, only_first: bool) -> dict[str, str]:
        """Return the parameters of the next task, or of the first one, which may be changed."""
        self._turn = (self._turn + 1) % len(TASKS)
        name = TASKS[0] if only_first else TASKS[self._turn]
        return {"name": name, "key": "k", "id": self.runs[name]}


@contextmanager
def settings_with_secrets(url: str, target: str) -> Iterator[Settings]:
    """Yield settings with a key, encryption, and a secret in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROTA_SECRET_OF_ENVIRONMENT", OF_ENVIRONMENT)
        patch.setenv("ROTA_SECRET_OF_ENVIRONMENT_ORIGINS", target)
        given: dict[str, Any] = {"api_key": (API_KEY,), "encryption_keys": (f"1:{SEALING}",)}
        yield Settings(
            database_url=url,
            handlers=(HANDLERS,),
            drain_grace=0,
            log_level="debug",
            http_targets=("127.0.0.0/8",),
            **given,
        )


def declare(client: httpx.Client, target: str) -> Present:
    """Store the secrets, and run the tasks that have them."""
    bound = {"origins": [target], "tasks": ["there*"]}
    assert client.put("/v1/secrets/there", json={"value": BEFORE} | bound).is_success
    assert client.post("/v1/secrets/there/rotate", json={"value": STORED}).is_success
    for name, fields in zip(TASKS, _definitions(target), strict=True):
        own = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}
        answer = client.put(f"/v1/tasks/{name}", json=own | fields)
        assert answer.is_success, answer.text
        assert client.put(f"/v1/tasks/{name}/kv/k", json={"value": IN_KV}).is_success
    return Present({name: _ended(client, name) for name in TASKS})


def _definitions(target: str) -> Iterator[dict[str, Any]]:
    yield {"handler": "echo"}
    headers = {
        "X-Api-Key": "{{ secret.of-environment }}",
        "Authorization": "Bearer {{ secret.there }}",
        "X-Token": f"Token {LITERAL}",
    }
    yield {"handler": "http", "target": {"url": f"{target}/json", "headers": headers}}
    yield {"handler": "hide", "input": {"password": INPUT}, "secret_input": True}


def _ended(client: httpx.Client, name: str) -> str:
    run: str = client.post(f"/v1/tasks/{name}/run").json()["id"]
    ended = client.get(f"/v1/runs/{run}?wait=20").json()
    assert ended["status"] == "succeeded", ended
    return run


class Logged(logging.Handler):
    """Keeps all that is logged, with tracebacks, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def logged() -> Iterator[Logged]:
    """Keep what the service logs meanwhile, from `debug` on, and what others warn of."""
    handler, root, before = Logged(), logging.getLogger(), structlog.get_config()
    ours, requests = logging.getLogger("rota"), logging.getLogger("uvicorn.access")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    ours.setLevel(logging.DEBUG)
    requests.setLevel(logging.INFO)
    requests.propagate = False  # to the report of a test that fails: the paths of requests are long
    root.addHandler(handler)
    requests.addHandler(handler)
    try:
        yield handler
    finally:
        requests.removeHandler(handler)
        root.removeHandler(handler)
        requests.propagate = True
        for each in (ours, requests):
            each.setLevel(logging.NOTSET)
        structlog.configure(wrapper_class=before["wrapper_class"])


def rows_of(url: str) -> bytes:
    """Return all rows of all tables: events are among them."""
    database = Database(url)
    try:
        with database.read() as connection:
            rows = [
                row
                for table in tables.metadata.sorted_tables
                for row in connection.execute(select(table))
            ]
    finally:
        database.close()
    return b"\n".join(
        value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row
    )


def shown(content: bytes) -> list[str]:
    """Return the secrets that a reply shows."""
    return found_in(content, SECRETS)


def kept(content: bytes) -> list[str]:
    """Return the secrets that are in a log, or in a database as its file has it."""
    return found_in(content, (*SECRETS, IN_KV))
