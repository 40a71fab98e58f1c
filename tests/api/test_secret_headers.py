"""Secret headers of targets over HTTP: sent to the target, never shown, and not in the database in plain."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select, update

from rota.db import tables
from tests.api.http.test_large_rows import database
from tests.api.marks import on_both
from tests.api.service import MANUAL, Api, serving
from tests.api.test_encryption import NEW, OLD, SQLITE

SECRET = "hunter2-and-more"
WITHOUT_RETRY = {"retry": {"max_attempts": 1}, "schedule": MANUAL}


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve on a port of its own; yields its URL and the headers of the requests that have come."""
    seen: list[dict[str, str]] = []

    class Noting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(dict(self.headers))
            self.rfile.read(int(self.headers["content-length"] or 0))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Noting)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jobs", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def body(url: str, **headers: str) -> dict[str, Any]:
    given = {"Authorization": f"Bearer {SECRET}", "X-Plain": "seen"} | headers
    return {"handler": "http", "target": {"url": url, "headers": given}} | WITHOUT_RETRY


def codes(answer: Any) -> list[str]:
    return [warning["code"] for warning in answer.json()["warnings"]]


@on_both
def test_a_secret_header_is_sent_and_not_shown(migrated_database_url: str) -> None:
    with (
        listening() as (url, seen),
        serving(migrated_database_url, encryption_keys=(OLD,)) as api,
    ):
        once = {"idempotency-key": "once"}
        answers = [api.put("/v1/tasks/t", json=body(url))]
        answers += [
            api.post("/v1/tasks", json=body(url) | {"name": "u"}, headers=once) for _ in range(2)
        ]
        run = api.ended(api.run("t"))
        paths = ("tasks", "tasks/t", "tasks/t/explain", f"runs/{run['id']}", "runs")
        answers += [api.get(f"/v1/{path}") for path in paths]

        assert run["status"] == "succeeded"
        assert [each["Authorization"] for each in seen] == [f"Bearer {SECRET}"]
        assert [answer.text for answer in answers if SECRET in answer.text] == []
        assert [answer.text for answer in answers if "sealed" in answer.text] == []
        assert codes(answers[0]) == []
        with database(migrated_database_url) as connection:
            for table in (tables.task, tables.idempotency, tables.event):
                assert SECRET not in repr(connection.execute(select(table)).all())


@on_both
def test_what_was_read_can_be_put_back_and_the_secret_is_sent_still(
    migrated_database_url: str,
) -> None:
    with (
        listening() as (url, seen),
        serving(migrated_database_url, encryption_keys=(OLD,)) as api,
    ):
        task = api.put("/v1/tasks/t", json=body(url)).json()

        same = api.put("/v1/tasks/t", json=task).json()
        given = api.put("/v1/tasks/t", json=body(url)).json()
        changed = api.put("/v1/tasks/t", json=task | {"priority": 3}).json()
        patch = {"target": {"headers": {"X-Plain": "other"}}}
        patched = api.patch("/v1/tasks/t", json=patch).json()
        api.ended(api.run("t"))

        outcomes = [each["outcome"] for each in (same, given, changed, patched)]
        assert outcomes == ["unchanged", "unchanged", "updated", "updated"]
        assert (seen[0]["Authorization"], seen[0]["X-Plain"]) == (f"Bearer {SECRET}", "other")


@SQLITE
def test_no_secret_header_gets_into_the_database_or_the_log(
    migrated_database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        listening() as (url, seen),
        serving(migrated_database_url, encryption_keys=(OLD,)) as api,
    ):
        api.put("/v1/tasks/t", json=body(url), headers={"idempotency-key": "once"})
        items = [body(url) | {"name": f"b{number}"} for number in range(3)]
        api.post("/v1/tasks/batch", json={"items": items})
        api.put("/v1/tasks/t", json=body(url, **{"X-Signature": f"{SECRET}!"}))
        api.ended(api.run("t"))
        files = b"".join(path.read_bytes() for path in tmp_path.glob("rota.db*"))

    assert len(seen) == 1
    assert b"X-Signature" in files
    assert SECRET.encode() not in files
    assert SECRET not in caplog.text


@on_both
def test_without_a_key_a_registration_with_a_secret_header_is_warned_of(api: Api) -> None:
    url = "http://127.0.0.1:9/"

    made = api.put("/v1/tasks/t", json=body(url, **{"X-Pass": "p"}))
    plain = api.put("/v1/tasks/u", json=body(url) | {"target": {"url": url}})

    assert codes(made) == ["plain_secret"]
    [warning] = made.json()["warnings"]
    assert "'Authorization' and 'X-Pass'" in warning["message"]
    assert "ROTA_ENCRYPTION_KEYS" in warning["message"]
    assert SECRET not in made.text
    assert codes(plain) == []
    assert codes(api.get("/v1/tasks/t/explain")) == ["plain_secret"]


@on_both
def test_a_run_whose_header_no_key_opens_fails_and_sends_nothing(
    migrated_database_url: str,
) -> None:
    with listening() as (url, seen):
        with serving(migrated_database_url, encryption_keys=(OLD,)) as api:
            task = api.put("/v1/tasks/t", json=body(url)).json()
        with serving(migrated_database_url, encryption_keys=(NEW,)) as api:
            ended = api.ended(api.run("t"))
            shown = api.get("/v1/tasks/t")
            put_back = api.put("/v1/tasks/t", json=task | {"priority": 1})
            given = api.put("/v1/tasks/t", json=body(url))
            again = api.ended(api.run("t"))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "sealed")
    assert "ROTA_ENCRYPTION_KEYS" in ended["error"]["message"]
    assert shown.json()["target"]["headers"]["Authorization"] == "[redacted]"
    assert put_back.status_code == given.status_code == 200
    assert again["status"] == "succeeded"
    assert [each["Authorization"] for each in seen] == [f"Bearer {SECRET}"]


@on_both
def test_a_changed_url_in_the_row_gets_no_secret(migrated_database_url: str) -> None:
    with (
        listening() as (url, seen),
        listening() as (elsewhere, stolen),
        serving(migrated_database_url, encryption_keys=(OLD,)) as api,
    ):
        api.put("/v1/tasks/t", json=body(url))
        with database(migrated_database_url) as connection:
            text = connection.execute(select(tables.task.c.definition)).scalar_one()
            changed = update(tables.task).values(definition=text.replace(url, elsewhere))
            connection.execute(changed)

        ended = api.ended(api.run("t"))

    assert (ended["status"], ended["error"]["type"]) == ("failed", "sealed")
    assert (seen, stolen) == ([], [])
