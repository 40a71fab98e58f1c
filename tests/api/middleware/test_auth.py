"""Who may ask: keys; on loopback without one, this machine's own programs but no web page."""

import hashlib
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from sqlalchemy import select
from typer.testing import CliRunner

from rota.cli import app as command_line
from rota.db import tables
from rota.settings import Settings
from tests.api.http.test_large_rows import database
from tests.api.marks import shares_service
from tests.api.service import BASE, MANUAL, Api, problem, serving

KEY, SECOND = "k" * 16, "a-second-key-1234"
TASK = {"handler": "echo", "schedule": MANUAL}
EVERY_ROUTE = [
    ("POST", "/v1/tasks"),
    ("GET", "/v1/tasks"),
    ("POST", "/v1/tasks/batch"),
    ("PUT", "/v1/tasks/t"),
    ("GET", "/v1/tasks/t"),
    ("PATCH", "/v1/tasks/t"),
    ("DELETE", "/v1/tasks/t"),
    ("GET", "/v1/tasks/t/upcoming"),
    ("POST", "/v1/tasks/t/pause"),
    ("POST", "/v1/tasks/t/resume"),
    ("POST", "/v1/tasks/t/cancel"),
    ("POST", "/v1/tasks/t/run"),
    ("POST", "/v1/tasks/t/ping"),
    ("GET", "/v1/tasks/t/runs"),
    ("GET", "/v1/tasks/t/stats"),
    # Without a key, it shows only what a task makes public.
    ("GET", "/v1/tasks/t/badge.svg"),
    ("GET", "/v1/stats"),
    ("GET", "/v1/stats/hours"),
    ("GET", "/v1/tasks/t/kv"),
    ("DELETE", "/v1/tasks/t/kv"),
    ("POST", "/v1/tasks/t/kv/transaction"),
    ("POST", "/v1/tasks/t/kv/revert"),
    ("GET", "/v1/tasks/t/kv/export"),
    ("POST", "/v1/tasks/t/kv/import"),
    ("GET", "/v1/tasks/t/kv/a/history"),
    ("GET", "/v1/tasks/t/kv/a"),
    ("PUT", "/v1/tasks/t/kv/a"),
    ("DELETE", "/v1/tasks/t/kv/a"),
    *(("POST", f"/v1/tasks/{verb}") for verb in ("pause", "resume", "cancel", "delete", "run")),
    ("POST", "/v1/schedules/preview"),
    ("GET", "/v1/tasks/t/explain"),
    ("POST", "/v1/tasks/t/backfill"),
    ("GET", "/v1/tasks/t/backfills"),
    ("GET", "/v1/tasks/t/backfills/x"),
    ("POST", "/v1/tasks/t/backfills/x/cancel"),
    ("GET", "/v1/events"),
    ("GET", "/v1/upcoming"),
    ("GET", "/v1/upcoming.ics"),
    ("GET", "/v1/upcoming/hours"),
    ("GET", "/v1/replicas"),
    ("GET", "/v1/alerts"),
    ("GET", "/v1/tasks/t/alerts"),
    ("GET", "/v1/queues"),
    ("GET", "/v1/queues/q"),
    ("PUT", "/v1/queues/q"),
    ("DELETE", "/v1/queues/q"),
    ("GET", "/v1/holds"),
    *((method, "/v1/holds/d") for method in ("GET", "PUT", "DELETE")),
    ("GET", "/v1/runs"),
    ("GET", "/v1/runs/x"),
    ("POST", "/v1/runs/x/cancel"),
    ("POST", "/v1/runs/x/rerun"),
    ("GET", "/v1/runs/x/lineage"),
    ("GET", "/v1/runs/x/kv"),
    ("GET", "/v1/runs/groups"),
    ("GET", "/v1/runs/x/logs"),
    *(("POST", f"/v1/runs/{verb}") for verb in ("rerun", "cancel", "delete")),
    ("GET", "/v1/bulk"),
    ("GET", "/v1/bulk/x"),
    ("GET", "/v1/bulk/x/items"),
    *(("POST", f"/v1/bulk/x/{verb}") for verb in ("confirm", "cancel")),
    ("POST", "/v1/queues/q/lease"),
    ("GET", "/v1/handlers"),
    *((method, "/v1/handlers/h") for method in ("GET", "PUT", "DELETE")),
    ("GET", "/v1/calendars"),
    *((method, "/v1/calendars/c") for method in ("GET", "PUT", "DELETE")),
    ("GET", "/v1/secrets"),
    *((method, "/v1/secrets/s") for method in ("GET", "PUT", "DELETE")),
    ("POST", "/v1/secrets/s/rotate"),
    *((method, "/v1/keys") for method in ("GET", "POST")),
    *((method, "/v1/keys/x") for method in ("GET", "DELETE")),
    ("POST", "/v1/keys/x/rotate"),
    ("GET", "/v1/keys/self"),
    ("GET", "/v1/audit"),
    ("GET", "/metrics"),
]
#: What shows everybody what tasks make public.
PUBLIC = [("GET", "/v1/status")]
#: They need the token of an attempt and no key.
BY_TOKEN = [("POST", "/v1/runs/x/complete"), ("POST", "/v1/runs/x/heartbeat")]
OPEN = [
    "/healthz",
    "/readyz",
    "/docs",
    "/docs/swagger-ui.css",
    "/docs/openapi.json",
    "/guide",
    "/guide/explanation/concepts",
    "/llms.txt",
    "/openapi.json",
    "/problems/invalid",
]


@pytest.fixture(scope="module")
def guarded(another_database: Callable[[str], str]) -> Iterator[Api]:
    """One service with keys for all tests that need it: none reads what others have stored."""
    with serving(another_database("sqlite"), api_key=f"{KEY},{SECOND}") as made:
        yield made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# -------------------------------------------------------------------------------------------------------- keys
def test_the_routes_of_this_file_are_all_routes(api: Api) -> None:
    document = api.read("/openapi.json")

    declared = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    expected = {(method, _template(path)) for method, path in [*EVERY_ROUTE, *BY_TOKEN, *PUBLIC]}
    assert declared - {("GET", "/healthz"), ("GET", "/readyz")} == expected


def _template(path: str) -> str:
    """Return a path of this file as the document has it."""
    for named, template in (
        ("/tasks/t", "/tasks/{name}"),
        ("/queues/q", "/queues/{name}"),
        ("/holds/d", "/holds/{name}"),
        ("/kv/a", "/kv/{key}"),
        ("/handlers/h", "/handlers/{name}"),
        ("/calendars/c", "/calendars/{name}"),
        ("/secrets/s", "/secrets/{name}"),
        ("/x", "/{id}"),
    ):
        path = re.sub(rf"{named}(?=/|$)", template, path)
    return path


@pytest.mark.parametrize(("method", "path"), EVERY_ROUTE)
def test_every_route_needs_a_key(guarded: Api, method: str, path: str) -> None:
    for headers in ({}, bearer("wrong"), bearer(""), {"Authorization": f"Basic {KEY}"}):
        refused = guarded.call(method, path, headers=headers)
        assert refused.status_code == 401
        if method != "HEAD":  # which has no body to say so
            problem(refused, 401, "unauthorized")


def test_either_of_two_keys_is_accepted(guarded: Api) -> None:
    for key in (KEY, SECOND):
        assert guarded.get("/v1/tasks", headers=bearer(key)).status_code == 200
    assert guarded.get("/v1/tasks", headers={"Authorization": f"bearer  {KEY} "}).status_code == 200


@pytest.mark.parametrize(
    "given", [KEY[:-1], KEY + "k", KEY.upper(), "Bearer " + KEY, f"{KEY},{SECOND}", "ü", "\xff"]
)
def test_text_that_is_similar_to_a_key_is_refused(guarded: Api, given: str) -> None:
    headers = {b"Authorization": f"Bearer {given}".encode("latin-1")}

    problem(guarded.get("/v1/tasks", headers=headers), 401, "unauthorized")


@pytest.mark.parametrize("path", OPEN)
def test_health_and_documentation_are_open(guarded: Api, path: str) -> None:
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/healthz/", "/docsx", "/v1", "/nothing", "/metrics/"])
def test_paths_that_are_similar_to_open_ones_need_a_key(guarded: Api, path: str) -> None:
    problem(guarded.get(path), 401, "unauthorized")


def test_readyz_shows_no_details_without_a_key(guarded: Api) -> None:
    assert guarded.read("/readyz") == {"status": "ok"}
    details = guarded.get("/readyz", headers=bearer(KEY)).json()
    assert details["firing_pass_age"] >= 0


def test_changes_show_the_client_without_its_key(guarded: Api) -> None:
    made = guarded.put("/v1/tasks/t", json=TASK, headers=bearer(KEY))
    entry = guarded.put("/v1/tasks/t/kv/a", json={"value": 1}, headers=bearer(SECOND))

    assert made.json()["status_changed_by"] == "key:1"
    assert entry.json()["updated_by"] == "key:2"
    assert KEY[:8] not in made.text
    assert SECOND not in entry.text


def test_no_response_or_row_has_a_digest_of_the_key(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url, api_key=(KEY,)) as api:
        headers = bearer(KEY) | {"Idempotency-Key": "once"}
        made = api.post("/v1/tasks", json=TASK | {"name": "t"}, headers=headers)
        entry = api.put("/v1/tasks/t/kv/a", json={"value": 1}, headers=bearer(KEY))

    with database(migrated_database_url) as connection:
        rows = [
            repr(connection.execute(select(table)).all())
            for table in (tables.task, tables.kv, tables.idempotency)
        ]
    digests = [hashlib.new(name, KEY.encode()).hexdigest() for name in ("md5", "sha1", "sha256")]
    for text in (made.text, entry.text, *rows):
        assert not [digest for digest in digests if digest[:8] in text]


def test_a_request_is_replayed_after_another_key_was_removed(
    migrated_database_url: str,
) -> None:
    headers = bearer(SECOND) | {"Idempotency-Key": "once"}
    with serving(migrated_database_url, api_key=(KEY, SECOND)) as api:
        api.put("/v1/tasks/t", json=TASK, headers=headers)
        first = api.post("/v1/tasks/t/run", headers=headers)
    with serving(migrated_database_url, api_key=(SECOND,)) as api:
        again = api.post("/v1/tasks/t/run", headers=headers)

    assert (first.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json()["id"] == first.json()["id"]


def test_idempotency_keys_of_two_api_keys_are_independent(guarded: Api) -> None:
    names = []
    for key in (KEY, SECOND):
        headers = bearer(key) | {"Idempotency-Key": "same"}
        names.append(guarded.post("/v1/tasks", json=TASK, headers=headers).json()["name"])

    assert names[0] != names[1]


def test_with_a_key_any_host_and_origin_is_accepted(guarded: Api) -> None:
    headers = bearer(KEY) | {"Host": "rota.example.com", "Origin": "https://console.example.com"}

    assert guarded.get("/v1/tasks", headers=headers).status_code == 200


# --------------------------------------------------------------------------------------------------- loopback
@shares_service
@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.2",
        "[::1]:8000",
        "[::1]",
        "localhost.",
        "Localhost.:8000",
    ],
)
def test_loopback_names_are_accepted_without_a_key(api: Api, host: str) -> None:
    assert api.get("/v1/tasks", headers={"Host": host}).status_code == 200


@shares_service
@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "localhost.evil.example.com",
        "evil.example.com:8000",
        "127.0.0.1.nip.io",
        "192.168.0.7",
        "0.0.0.0",
        "[::2]",
        "[",
        "localhost@evil.example.com",
        "evil.example.com@localhost",
        "localhost/evil.example.com",
        "localhost#.evil.example.com",
        "localhost:port",
        "localhost:8000:8000",
        "localhost evil.example.com",
        "app.localhost",
        "localhost..",
        "127.0.0.1.",
        "::1",
        "",
        "2130706433",
    ],
)
@pytest.mark.parametrize("path", ["/v1/tasks", "/docs", "/readyz", "/"])
def test_a_rebound_name_is_refused(api: Api, host: str, path: str) -> None:
    problem(api.get(path, headers={"Host": host}), 421, "wrong-host")


@shares_service
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example.com",
        "https://localhost.evil.example.com",
        "null",
        "",
        "http://localhost:9999",
        "https://localhost",
        "app://localhost",
        "http://127.0.0.1",
        "http://[",
        "localhost",
        "file://",
        "chrome-extension://localhost.x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_foreign_page_is_refused(api: Api, origin: str, method: str) -> None:
    refused = api.call(method, "/v1/tasks", json=TASK, headers={"Origin": origin})

    problem(refused, 403, "foreign-origin")
    assert "access-control-allow-origin" not in refused.headers
    assert api.names() == []


def test_requests_of_the_services_own_page_are_accepted(api: Api) -> None:
    headers = {"Host": "localhost:8000", "Origin": "http://localhost:8000"}

    assert api.post("/v1/tasks", json=TASK, headers=headers).status_code == 201


FORWARDING = [
    ("Forwarded", "for=203.0.113.7"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("x-forwarded-host", "localhost"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Anything", ""),
    ("Via", "1.1 proxy"),
    ("X-Real-IP", "127.0.0.1"),
    ("CF-Connecting-IP", "203.0.113.7"),
]


@shares_service
@pytest.mark.parametrize(("name", "value"), FORWARDING)
@pytest.mark.parametrize("path", ["/v1/tasks", "/docs", "/openapi.json", "/metrics", "/readyz"])
def test_requests_through_a_proxy_need_a_key(api: Api, path: str, name: str, value: str) -> None:
    refused = problem(api.get(path, headers={name: value}), 403, "not-local")

    assert name.lower() in refused["detail"].lower()
    assert "ROTA_API_KEY" in refused["detail"]


def test_with_a_key_requests_through_a_proxy_are_accepted(guarded: Api) -> None:
    headers = bearer(KEY) | dict(FORWARDING)

    assert guarded.get("/v1/tasks", headers=headers).status_code == 200


@shares_service
@pytest.mark.parametrize(
    "client", ["192.168.0.7", "203.0.113.7", "::2", "::ffff:192.168.0.7", "fe80::1%eth0"]
)
def test_other_machines_are_refused_whatever_host_they_name(api: Api, client: str) -> None:
    refused = problem(call(api, client=(client, 1)), 403, "not-local")

    assert client in refused["detail"]


@shares_service
@pytest.mark.parametrize("client", [("127.0.0.1", 1), ("::1", 1), ("::ffff:127.0.0.1", 1), None])
def test_requests_from_any_loopback_address_are_accepted(
    api: Api, client: tuple[str, int] | None
) -> None:
    assert call(api, client=client).status_code == 200


def test_a_proxy_without_headers_is_recognised_by_http_1_0(api: Api) -> None:
    refused = problem(call(api, http_version="1.0"), 403, "not-local")

    assert "HTTP/1.0" in refused["detail"]


def test_two_host_headers_are_refused(api: Api) -> None:
    hosts = [(b"host", b"localhost"), (b"host", b"evil.example.com")]

    problem(call(api, headers=hosts), 421, "wrong-host")
    problem(call(api, headers=hosts[::-1]), 421, "wrong-host")


@shares_service
@pytest.mark.parametrize(
    ("site", "mode", "dest", "status"),
    [
        ("cross-site", "no-cors", "image", 403),
        ("same-site", "no-cors", "script", 403),
        ("cross-site", "navigate", "iframe", 403),
        ("cross-site", "cors", "empty", 403),
        ("cross-site", "navigate", "document", 200),
        ("same-origin", "cors", "empty", 200),
        ("none", "navigate", "document", 200),
    ],
)
def test_a_foreign_page_may_link_to_the_service_but_not_load_from_it(
    api: Api, site: str, mode: str, dest: str, status: int
) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}

    assert api.get("/v1/tasks", headers=headers).status_code == status


def call(api: Api, **scope: Any) -> httpx.Response:
    """Ask for the tasks as a server would that had read this of the request."""

    async def ask() -> httpx.Response:
        async def as_read(inner: Any, receive: Any, send: Any) -> None:
            await api.app(inner | scope, receive, send)

        transport = httpx.ASGITransport(as_read)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            return await client.get("/v1/tasks")

    return api.portal.call(ask)


# ----------------------------------------------------------------------------------------------- command line
@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.0.7", "rota.example.com", "127.example.com"]
)
def test_beyond_loopback_the_service_does_not_start_without_a_key(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROTA_API_KEY", raising=False)
    if host.endswith("example.com"):  # a name is judged by its addresses
        found = [(socket.AF_INET, ("192.0.2.1", 0))]
        monkeypatch.setattr("rota.listening._addresses", lambda *_: found)

    ended = CliRunner().invoke(command_line, ["serve", "--host", host])

    assert ended.exit_code == 2
    assert "ROTA_API_KEY" in ended.stderr
    assert "openssl" in ended.stderr


@pytest.mark.parametrize("host", ["", "no.such.host.invalid"])
def test_the_service_does_not_start_on_an_address_that_does_not_exist(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROTA_API_KEY", raising=False)

    ended = CliRunner().invoke(command_line, ["serve", "--host", host])

    assert ended.exit_code == 2
    assert "ROTA_" in ended.stderr


@pytest.mark.parametrize("keys", ["short", "k" * 16 + ",x", ",".join(["k" * 16] * 3)])
def test_weak_or_too_many_keys_are_refused(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTA_API_KEY", keys)

    ended = CliRunner().invoke(command_line, ["serve"])

    assert ended.exit_code == 2
    assert "ROTA_API_KEY" in ended.stderr
    assert keys not in ended.stderr


def test_keys_do_not_show_in_the_settings() -> None:
    settings = Settings(api_key=KEY)  # type: ignore[arg-type]  # as the environment gives it

    assert KEY not in repr(settings)


@pytest.mark.parametrize("fields", [{"port": "x"}, {"lease_ttl": 0}, {"log_level": "loud"}])
def test_invalid_settings_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**fields)
