"""A key that is revoked, rotated or expires ends what it keeps open, on every replica: streams, waits, long polls."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from rota.api.http.clients.stored_keys import StoredKeys
from rota.api.middleware.holding import Held
from rota.cli.local.database.opened import commit
from rota.clock import SystemClock
from rota.db.engine import Database
from rota.domain.access.scopes import Scope
from rota.domain.access.stored_key import Proof
from rota.domain.primitives.times.instants import format_instant
from rota.store.access.changes import CreateKey, RevokeKey
from tests.api.keys.clients import ADMIN, asked, bearer, client, made
from tests.api.service import Api, problem, serving
from tests.api.stream_client import Stream
from tests.domain.access.keys import stored
from tests.support.factories import DEADLINE, eventually

EVERYTHING = ("tasks:read", "runs:read", "kv:read", "work")
#: Longer than the tests wait: what ends before has been ended.
LONG = 28


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    """One service for all tests that need no other, with a task whose run does not end."""
    with serving(another_database("sqlite"), api_key=ADMIN, headers=bearer(ADMIN)) as service:
        queue_run(service)
        yield service


def queue_run(api: Api) -> None:
    """Make a run that nobody takes."""
    api.put("/v1/handlers/outside", json={})
    api.task("held", handler="outside", queue="nobodys")
    api.run("held")


class KeyStream(Stream):
    """A stream that is requested with a key, or none; `is_whole`: it has ended as a whole response does."""

    def __init__(self, api: Api, path: str, key: str | None) -> None:
        self.is_whole = False
        super().__init__(api if key is None else client(api, key), path)

    async def _send(self, message: Any) -> None:
        await super()._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.is_whole = True


def streams(api: Api) -> list[str]:
    (run,) = api.items("/v1/runs?task=held")
    return ["/v1/events", "/v1/tasks/held/kv?watch=*", f"/v1/runs/{run['id']}/logs?follow=true"]


def waits(api: Api, key: str) -> list[Future[httpx.Response]]:
    """Begin a long poll, and a wait for the end of a run."""
    (run,) = api.items("/v1/runs?task=held")
    body = {"handlers": ["outside"], "wait": LONG}
    calls = [
        partial(api._call, "POST", "/v1/queues/default/lease", json=body, headers=bearer(key)),
        partial(api._call, "GET", f"/v1/runs/{run['id']}?wait={LONG}", headers=bearer(key)),
    ]
    return [api.portal.start_task_soon(call) for call in calls]


def open_all(api: Api, key: str) -> tuple[list[KeyStream], list[Future[httpx.Response]]]:
    """Open one request of each kind that stays open; returns when all of them wait."""
    services = api.app.state.services
    before = services.streams._open
    opened = [KeyStream(api, path, key) for path in streams(api)]
    waiting = waits(api, key)
    eventually(lambda: services.streams._open == before + 5)
    return opened, waiting


def check_ended(opened: list[KeyStream], waiting: list[Future[httpx.Response]], word: str) -> None:
    for stream in opened:
        stream.join()
        assert stream.is_whole
    for future in waiting:
        refused = problem(future.result(DEADLINE), 401, "unauthorized")
        assert word in refused["detail"]


def test_a_revocation_ends_all_that_the_key_keeps_open_and_nothing_else(api: Api) -> None:
    key, other = made(api, *EVERYTHING), made(api, *EVERYTHING)
    kept = KeyStream(api, "/v1/events", other["key"])
    opened, waiting = open_all(api, key["key"])

    assert api.delete(f"/v1/keys/{key['id']}").status_code == 204

    check_ended(opened, waiting, "revoked")
    assert not kept.is_whole
    api.delete(f"/v1/keys/{other['id']}")
    kept.join()
    eventually(lambda: not api.app.state.services.streams._open)


def test_a_write_whose_body_is_still_coming_is_refused(api: Api) -> None:
    """Bodies may come slowly: who keeps some open could write hours after the revocation."""
    key, keys = made(api, "tasks:write"), api.app.state.services.keys

    async def body() -> AsyncIterator[bytes]:
        yield b'{"handler": "echo", '
        await asyncio.sleep(LONG)
        yield b'"schedule": {"type": "manual"}}'

    headers = bearer(key["key"]) | {"content-type": "application/json"}
    call = partial(api._call, "PUT", "/v1/tasks/late", content=body(), headers=headers)
    answer = api.portal.start_task_soon(call)
    eventually(lambda: len(keys._open) == 1)

    assert api.delete(f"/v1/keys/{key['id']}").status_code == 204

    problem(answer.result(DEADLINE), 401, "unauthorized")
    problem(api.get("/v1/tasks/late"), 404, "not-found")


def test_what_a_key_keeps_open_ends_when_it_expires(api: Api) -> None:
    soon = api.app.state.services.clock.now() + timedelta(seconds=2)
    key = made(api, *EVERYTHING, expires_at=format_instant(soon))

    check_ended(*open_all(api, key["key"]), "expired")


def test_what_was_opened_with_the_secret_before_ends_with_its_overlap(api: Api) -> None:
    key = made(api, *EVERYTHING)
    opened, waiting = open_all(api, key["key"])

    rotated = api.post(f"/v1/keys/{key['id']}/rotate", json={"overlap": 1}).json()

    kept = KeyStream(api, "/v1/events", rotated["key"])
    check_ended(opened, waiting, "rotated")
    assert not kept.is_whole
    kept.stop()


def test_what_was_opened_two_secrets_ago_ends(api: Api) -> None:
    key = made(api, *EVERYTHING)
    opened = KeyStream(api, "/v1/events", key["key"])

    for _ in range(2):
        api.post(f"/v1/keys/{key['id']}/rotate", json={"overlap": "1h"})

    opened.join()


# ------------------------------------------------------------------------------------------- responses in part
def held(app: Any, *, until_read: bool = False) -> tuple[Held, StoredKeys]:
    """Return an application that is held by a key, and the keys, of which there are none any more."""
    keys = StoredKeys(SystemClock())
    proof = Proof(stored(), stored().digest)
    return Held(app, keys, proof, lambda _fault: app, until_read=until_read), keys


async def begun(app: Held, keys: StoredKeys, sent: list[Any]) -> None:
    """Serve a request until the key is not accepted any more, which is when the response has begun."""

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.start":
            asyncio.get_running_loop().call_soon(keys._open.end_refused, {}, SystemClock().now())

    await app({"type": "http", "method": "GET", "path": "/v1/export"}, receive, send)


def test_a_response_that_is_no_stream_of_events_is_broken_off() -> None:
    async def export(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await asyncio.Event().wait()

    sent: list[Any] = []
    with pytest.raises(ConnectionAbortedError, match="revoked"):
        asyncio.run(begun(*held(export), sent))
    assert [message["type"] for message in sent] == ["http.response.start"]


def test_a_shutdown_comes_before_a_revocation() -> None:
    async def stopped(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(begun(*held(stopped), []))


def test_a_write_is_not_ended_once_its_body_has_come() -> None:
    async def write(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            assert len(keys._open) == 1
        keys._open.end_refused({}, SystemClock().now())
        await asyncio.sleep(0)
        written.append(len(keys._open))

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": bool(parts.pop())}

    async def send(message: Any) -> None:
        raise AssertionError("it is the application that answers")

    app, keys = held(write, until_read=True)
    written: list[int] = []
    parts = [0, 1, 1]
    asyncio.run(app({"type": "http", "method": "PUT", "path": "/v1/x"}, receive, send))
    assert written == [0]


# ----------------------------------------------------------------------------------------------- two replicas
@pytest.fixture
def replicas(
    migrated_database_url: str,
) -> Iterator[tuple[Api, Api]]:
    with (
        serving(migrated_database_url, api_key=ADMIN, headers=bearer(ADMIN)) as one,
        serving(migrated_database_url, api_key=ADMIN, headers=bearer(ADMIN)) as other,
    ):
        yield one, other


on_postgres = pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)


@pytest.mark.postgres
@on_postgres
def test_a_key_is_made_and_revoked_on_all_replicas(replicas: tuple[Api, Api]) -> None:
    one, other = replicas
    queue_run(one)
    key = made(one, *EVERYTHING)

    eventually(lambda: asked(other, key["key"]).status_code == 200)
    opened, waiting = open_all(other, key["key"])
    one.delete(f"/v1/keys/{key['id']}")

    check_ended(opened, waiting, "revoked")
    eventually(lambda: asked(other, key["key"]).status_code == 401)


@pytest.mark.postgres
@on_postgres
def test_after_a_while_without_requests_a_revoked_key_is_refused_at_once(
    replicas: tuple[Api, Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = replicas
    monkeypatch.setattr("rota.api.http.clients.stored_keys._IDLE_AFTER", -1.0)
    monkeypatch.setattr("rota.api.http.clients.stored_keys._FRESH", 0.0)
    key = made(one, "tasks:read")
    assert asked(other, key["key"]).status_code == 200
    eventually(lambda: other.app.state.services.keys._watcher is None)

    one.delete(f"/v1/keys/{key['id']}")

    assert asked(other, key["key"]).status_code == 401


@pytest.mark.postgres
@on_postgres
def test_keys_of_the_command_line_count_while_the_service_runs(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url) as api:
        assert api.get("/v1/tasks").status_code == 200

        made_key = write(
            migrated_database_url, CreateKey(name="CI", scopes=(Scope.ADMIN,), by="cli")
        )

        eventually(lambda: api.get("/v1/tasks").status_code == 401)
        refused = problem(api.get("/v1/tasks"), 401, "unauthorized")
        assert "rota key list" in refused["detail"]
        assert asked(api, made_key.text).status_code == 200
        assert api.get("/healthz").status_code == 200
        write(migrated_database_url, RevokeKey(id=made_key.stored.id, by="cli"))
        eventually(lambda: api.get("/v1/tasks").status_code == 200)


@pytest.mark.postgres
@on_postgres
def test_the_first_key_ends_what_was_opened_without_one(migrated_database_url: str) -> None:
    with serving(migrated_database_url) as api:
        queue_run(api)
        opened = [KeyStream(api, path, None) for path in streams(api)]
        (run,) = api.items("/v1/runs?task=held")
        wait = partial(api._call, "GET", f"/v1/runs/{run['id']}?wait={LONG}")
        waiting = api.portal.start_task_soon(wait)
        eventually(lambda: api.app.state.services.streams._open == 4)

        write(migrated_database_url, CreateKey(name="CI", scopes=(Scope.ADMIN,), by="cli"))

        check_ended(opened, [waiting], "stored keys")


def write(url: str, command: Any) -> Any:
    """Commit a command as the command line does."""
    database = Database(url)
    try:
        return commit(database, command)
    finally:
        database.close()
