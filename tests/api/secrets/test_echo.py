"""A target that says back what it was sent: no secret is in anything that Rota keeps, shows or logs."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from rota.db import tables
from tests.api.marks import on_both
from tests.api.secrets.echo import PATHS, echoing
from tests.api.service import MANUAL, Api, serving
from tests.api.test_encryption import OLD
from tests.support.secret_search import found_in

STORED, BEFORE = 'hunter2/and+more&"x"', "hunter1-and-before"
OF_ENVIRONMENT, LITERAL = "hunter3 and more%41", "hunter4-and-more"
SECRETS = (STORED, BEFORE, OF_ENVIRONMENT, LITERAL)
HEADERS = {
    "Authorization": "Bearer {{ secret.crm }}",
    "X-Api-Key": "{{ secret.of-environment }}",
    "X-Before": "{{ secret.before }}",
    "X-Token": f"Token {LITERAL}",
}


def pages(api: Api, run_id: str) -> Iterable[tuple[str, bytes]]:
    """Yield what every route that can be read returns, by its path; the events of streams are in the database."""
    parameters = {"name": "echo-json", "id": run_id, "key": "echo", "version": "1", "number": "1"}
    for route in api.app.state.routes:
        path = route.path
        if "GET" not in route.methods or path.endswith(("/events", "/metrics")):
            continue
        answer = api.get(path.format_map(parameters))
        assert answer.status_code != 500, answer.text
        yield path, answer.content


def dump(api: Api) -> bytes:
    """Return all rows of all tables."""
    with api.app.state.services.database.read() as connection:
        rows = [
            row
            for table in tables.metadata.sorted_tables
            for row in connection.execute(select(table))
        ]
    return b"\n".join(
        value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row
    )


def declare(api: Api, origin: str) -> None:
    bound = {"origins": [origin], "tasks": ["echo-*"]}
    assert api.put("/v1/secrets/crm", json={"value": BEFORE} | bound).status_code == 201
    assert api.post("/v1/secrets/crm/rotate", json={"value": STORED}).status_code == 200
    assert api.put("/v1/secrets/before", json={"value": BEFORE} | bound).status_code == 201
    for path in PATHS:
        given: dict[str, Any] = {
            "handler": "http",
            "target": {"url": f"{origin}/{path}", "headers": HEADERS},
            "schedule": MANUAL,
            "retry": {"max_attempts": 1},
        }
        answer = api.put(f"/v1/tasks/echo-{path}", json=given)
        assert answer.status_code == 201, answer.text


@on_both
def test_an_echo_of_secrets_is_nowhere(
    migrated_database_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with echoing() as origin:
        monkeypatch.setenv("ROTA_SECRET_OF_ENVIRONMENT", OF_ENVIRONMENT)
        monkeypatch.setenv("ROTA_SECRET_OF_ENVIRONMENT_ORIGINS", origin)
        with (
            caplog.at_level(logging.DEBUG),
            serving(
                migrated_database_url,
                encryption_keys=(OLD,),
                http_max_body_bytes=4_096,
                log_level="debug",
            ) as api,
        ):
            declare(api, origin)
            begun = {path: api.run(f"echo-{path}") for path in PATHS}
            runs = {path: api.ended(run) for path, run in begun.items()}
            answers = dict(pages(api, runs["outcome"]["id"]))
            answers |= {
                f"runs/{path}": str(api.read(f"/v1/runs/{run['id']}")).encode()
                for path, run in begun.items()
            }
            exported = api.get("/v1/tasks/echo-outcome/kv/export")
            rows = dump(api)
            files = b"".join(path.read_bytes() for path in tmp_path.glob("rota.db*"))

    assert runs["json"]["result"]["body"]["got"]["Authorization"] == "Bearer [redacted]"
    assert runs["json"]["result"]["headers"]["x-request-id"] == "[redacted]"
    assert "[redacted]" in exported.text
    assert {
        path: found for path, data in answers.items() if (found := found_in(data, SECRETS))
    } == {}
    assert found_in(exported.content, SECRETS) == []
    assert found_in(rows, SECRETS) == []
    assert found_in(files, SECRETS) == []
    assert found_in(caplog.text.encode(), SECRETS) == []
