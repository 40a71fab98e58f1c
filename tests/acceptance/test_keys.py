"""API keys of a whole service, over sockets: its start, its streams, and where a secret is left."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from rota.cli import app
from tests.acceptance.server import Server

pytestmark = pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
Serve = Callable[..., Server]


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch, migrated_database_url: str) -> str:
    """A key with the scope admin, made without a service."""
    monkeypatch.setenv("ROTA_DATABASE_URL", migrated_database_url)
    ended = CliRunner().invoke(app, ["key", "create", "--name", "boss", "--scope", "admin"])
    assert ended.exit_code == 0, ended.output
    return ended.stdout.strip()


def bearer(key: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {key}"}}


def test_with_a_stored_administrator_the_service_listens_beyond_loopback(
    serve: Serve, admin: str
) -> None:
    server = serve(host="0.0.0.0")
    server.start()

    assert server.ask("GET", "/v1/tasks").status_code == 401
    assert server.ask("GET", "/v1/tasks", **bearer(admin)).status_code == 200


def test_a_revocation_ends_a_stream_so_that_its_client_does_not_come_back(
    serve: Serve, admin: str
) -> None:
    server = serve()
    server.start()
    body = {"name": "CI", "scopes": ["runs:read"]}
    key = server.call("POST", "/v1/keys", json=body, **bearer(admin))

    with server._client.stream("GET", "/v1/events", **bearer(key["key"])) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        server.call("DELETE", f"/v1/keys/{key['id']}", **bearer(admin))
        left = list(lines)  # httpx raises if the response is not a whole one

    assert "revoked" not in "".join(left)
    again = server.ask("GET", "/v1/events", **bearer(key["key"]))
    assert (again.status_code, again.json()["detail"]) == (401, "This key was revoked.")


def test_the_secret_of_a_key_is_left_nowhere(
    serve: Serve, admin: str, migrated_database_url: str
) -> None:
    server = serve(log_level="debug")
    server.start()
    body = {"name": "CI", "scopes": ["tasks:read", "tasks:write"]}
    key = server.call("POST", "/v1/keys", json=body, **bearer(admin))
    rotated = server.call("POST", f"/v1/keys/{key['id']}/rotate", **bearer(admin))
    for each in (key["key"], rotated["key"]):
        server.call("GET", "/v1/tasks", **bearer(each))
        task = {"handler": "missing", "schedule": {"type": "manual"}}
        server.ask(
            "POST",
            "/v1/tasks",
            json=task,
            headers=bearer(each)["headers"] | {"Idempotency-Key": "k"},
        )
        server.ask("GET", f"/v1/tasks?key={each}", **bearer(each))
        server.ask("GET", "/v1/tasks", **bearer(each + "x"))
        server.ask("GET", f"/v1/keys/{each}", **bearer(admin))
    shown = server.ask("GET", "/v1/keys", **bearer(admin)).content
    shown += server.ask("GET", "/metrics", **bearer(admin)).content
    server.call("DELETE", f"/v1/keys/{key['id']}", **bearer(admin))
    server.kill()  # so that the WAL stays

    folder = Path(migrated_database_url.removeprefix("sqlite:///")).parent
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {"rota.db", "rota.db-wal", server.log.name} <= files.keys()
    assert key["id"].encode() in files["rota.db-wal"]
    for text in (admin, key["key"], rotated["key"]):
        secret = text.rpartition("_")[2][:43]
        for spelling in spellings(secret):
            assert spelling not in shown
            found = [name for name, content in files.items() if spelling in content]
            assert not found, (found, spelling)


def spellings(secret: str) -> Iterator[bytes]:
    """Yield a secret as bytes, in base64 at each of its offsets, in hexadecimal digits, and percent-encoded."""
    given = secret.encode()
    yield given
    yield given.hex().encode()
    yield quote("".join(f"\\x{byte:02x}" for byte in given)).encode()
    yield "".join(f"%{byte:02X}" for byte in given).encode()
    for offset in range(3):
        encoded = base64.b64encode(b"-" * offset + given)
        yield encoded[4 if offset else 0 : len(encoded) - 4]
