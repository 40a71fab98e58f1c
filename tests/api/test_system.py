"""Handlers, health, metrics, HEAD, and responses for unknown paths and methods."""

from pathlib import Path
from platform import python_version

import httpx
import pytest

from rota.domain.time_zones.database import PINNED
from rota.main import VERSION
from tests.api.marks import shares_service
from tests.api.service import MANUAL, Api, problem, serving
from tests.api.tasks.test_list import walk
from tests.support.databases import damage
from tests.support.factories import eventually


def test_handlers_are_listed_with_the_schema_of_their_input(api: Api) -> None:
    handlers = {handler["name"]: handler for handler in api.items("/v1/handlers")}

    assert list(handlers) == sorted(handlers)
    assert {"http", "echo", "greet", "hold"} <= handlers.keys()
    greet = handlers["greet"]
    assert (greet["description"], greet["timeout"], greet["isolation"]) == (
        "Greet somebody.",
        7,
        "none",
    )
    assert greet["input_schema"]["properties"]["times"]["maximum"] == 9
    assert handlers["echo"]["timeout"] is None
    assert greet["updated_at"].endswith("Z")


def test_pages_have_every_handler_once(api: Api) -> None:
    pages = list(walk(api, "/v1/handlers?limit=4"))

    assert [len(page) for page in pages[:-1]] == [4] * (len(pages) - 1)
    names = [handler["name"] for page in pages for handler in page]
    assert names == [handler["name"] for handler in api.items("/v1/handlers")]
    problem(api.get("/v1/handlers?cursor=x"), 422, "invalid-cursor")


def test_health(api: Api) -> None:
    assert api.read("/healthz") == {"status": "ok"}
    ready = api.read("/readyz")
    assert ready["status"] == "ok"
    assert 0 <= ready["firing_pass_age"] < 10
    assert (ready["tzdata"], ready["warnings"]) == (PINNED.version, [])


def test_not_ready_is_503_with_retry_after(migrated_database_url: str) -> None:
    with serving(migrated_database_url, stale_after=1e-9) as api:
        refused = problem(api.get("/readyz"), 503, "not-ready")

        assert "firing pass" in refused["detail"]
        assert api.read("/healthz") == {"status": "ok"}


def test_with_a_damaged_database_the_service_is_not_ready_and_says_why(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url) as api:
        api.task("t", schedule=MANUAL)
        assert api.put("/v1/tasks/t/kv/k", json={"value": 1}).is_success
    damage(Path(migrated_database_url.removeprefix("sqlite:///")), "kv")
    with serving(migrated_database_url) as api:
        shown = problem(api.get("/v1/tasks/t/kv"), 503, "unavailable")
        ready = problem(api.get("/readyz"), 503, "not-ready")
        still = problem(api.get("/readyz"), 503, "not-ready")

        for each in (shown, ready, still):
            assert "rota.db is damaged (database disk image is malformed)" in each["detail"]
            assert "restore it from a backup" in each["detail"]
        assert len(api.items("/v1/handlers")) > 3


def test_a_service_whose_database_file_was_removed_accepts_nothing(
    migrated_database_url: str,
) -> None:
    path = Path(migrated_database_url.removeprefix("sqlite:///"))
    with serving(migrated_database_url) as api:
        api.task("t")
        path.rename(path.with_name("kept.db"))

        refused = problem(api.post("/v1/tasks/t/run"), 503, "unavailable")
        ready = problem(api.get("/readyz"), 503, "not-ready")
        path.with_name("kept.db").rename(path)
        api.run("t")

        assert "rota.db was removed" in refused["detail"]
        assert "was not stored" in refused["detail"]
        assert "rota.db was removed" in ready["detail"]
        assert api.read("/readyz")["status"] == "ok"


def test_metrics_count_runs_and_attempts(api: Api) -> None:
    api.task("t")
    api.ended(api.run("t"))

    def counted() -> httpx.Response | None:
        """Return the metrics once both are counted, which two threads do."""
        got = api.get("/metrics")
        runs = 'rota_runs_total{reason="",status="succeeded",trigger="manual"} 1.0'
        attempts = 'rota_attempts_total{outcome="succeeded"} 1.0'
        return got if runs in got.text and attempts in got.text else None

    answer = eventually(counted)

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "rota_firing_pass_age_seconds" in answer.text
    assert f'rota_tzdata_info{{version="{PINNED.version}"}} 1.0' in answer.text
    assert "rota_ready 1.0" in answer.text
    assert "rota_database_up 1.0" in answer.text
    assert f'python="{python_version()}",version="{VERSION}"}} 1.0' in answer.text


@shares_service
@pytest.mark.parametrize(
    "path", ["/v2/tasks", "/v1", "/v1/", "/v1/tasks/", "/v1/tasks/t/", "/v1/tasks/t/what", "/x"]
)
def test_an_unknown_path_is_404(api: Api, path: str) -> None:
    problem(api.get(path), 404, "not-found")


@shares_service
@pytest.mark.parametrize(
    ("path", "suggestion"),
    [
        ("/v1/tasks/", "/v1/tasks"),
        ("/v1/tasks//", "/v1/tasks"),
        ("/v1//tasks", "/v1/tasks"),
        ("/v1/tasks/t/", "/v1/tasks/t"),
        ("/v1/tasks/t/kv/a/", "/v1/tasks/t/kv/a"),
        ("/v1/runs/", "/v1/runs"),
        ("/healthz/", "/healthz"),
        ("/metrics/", "/metrics"),
        ("/tasks", "/v1/tasks"),
        ("/tasks/t/run/", "/v1/tasks/t/run"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_misspelt_path_is_404_with_a_suggestion(
    api: Api, method: str, path: str, suggestion: str
) -> None:
    refused = api.call(method, path)

    assert problem(refused, 404, "not-found")["detail"].endswith(f"did you mean {suggestion}?")
    assert "location" not in refused.headers


READABLE = [
    *("/", "/healthz", "/readyz", "/metrics", "/docs", "/docs/swagger-ui.css", "/openapi.json"),
    *("/guide", "/guide/explanation/concepts.md", "/llms.txt"),
    *("/problems/", "/problems/invalid"),
    *("/v1/tasks", "/v1/tasks/t", "/v1/tasks/t/upcoming", "/v1/tasks/t/runs"),
    *("/v1/tasks/t/kv", "/v1/tasks/t/kv/a", "/v1/tasks/t/kv/a/history", "/v1/tasks/t/kv/export"),
    *(
        "/v1/tasks/t/explain",
        "/v1/tasks/t/backfills",
        "/v1/runs",
        "/v1/queues",
        "/v1/queues/default",
    ),
    *("/v1/handlers", "/v1/tasks/gone", "/v1/runs/x", "/v1/tasks?limit=0", "/nowhere"),
]


def test_head_has_the_status_and_headers_of_get(api: Api) -> None:
    api.task("t")
    api.put("/v1/tasks/t/kv/a", json={"value": 1})
    run = api.ended(api.run("t"))["id"]
    paths = [*READABLE, f"/v1/runs/{run}", f"/v1/runs/{run}/logs"]

    for path in paths:
        read, looked = api.get(path), api.call("HEAD", path)
        assert (looked.status_code, looked.content) == (read.status_code, b""), path
        shown, expected = (_lasting(path, each.headers) for each in (looked, read))
        assert shown == expected, path


def test_head_of_an_unchanged_entry_is_304(api: Api) -> None:
    api.task("t")
    tag = api.put("/v1/tasks/t/kv/a", json={"value": 1}).headers["etag"]

    looked = api.call("HEAD", "/v1/tasks/t/kv/a", headers={"If-None-Match": tag})

    assert (looked.status_code, looked.headers["etag"], looked.content) == (304, tag, b"")


def test_head_of_a_stream_ends_at_once_and_does_not_count_as_open(
    migrated_database_url: str,
) -> None:
    with serving(migrated_database_url, max_streams=1) as api:
        api.task("t", handler="hold")
        run = api.run("t")["id"]
        for path in ("/v1/events", "/v1/tasks/t/kv?watch=", f"/v1/runs/{run}/logs?follow=true") * 2:
            looked = api.call("HEAD", path)
            assert (looked.status_code, looked.content) == (200, b"")
            assert looked.headers["content-type"].startswith("text/event-stream")


def test_every_path_that_accepts_get_accepts_head(api: Api) -> None:
    readable = [path for path, item in api.read("/openapi.json")["paths"].items() if "get" in item]
    assert len(readable) > 15

    for path in readable:
        allowed = api.call("TRACE", path).headers["allow"].split(", ")
        assert {"GET", "HEAD"} <= set(allowed), path


def _lasting(path: str, headers: httpx.Headers) -> dict[str, str]:
    """Return what two answers in a row have in common: not their ids, and not how long a body with an age in it is."""
    passing = {"x-request-id"} | ({"content-length"} if path in {"/readyz", "/metrics"} else set())
    return {name: value for name, value in headers.items() if name not in passing}


@shares_service
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/tasks", "GET, HEAD, POST"),
        ("POST", "/v1/tasks/t", "DELETE, GET, HEAD, PATCH, PUT"),
        ("GET", "/v1/tasks/t/run", "POST"),
        ("POST", "/v1/tasks/t/runs", "GET, HEAD"),
        ("POST", "/v1/tasks/t/kv/a", "DELETE, GET, HEAD, PUT"),
        ("PUT", "/v1/runs", "GET, HEAD"),
        ("DELETE", "/v1/runs/0", "GET, HEAD"),
        ("GET", "/v1/runs/0/cancel", "POST"),
        ("POST", "/v1/handlers", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
        ("POST", "/guide/explanation/concepts", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("PUT", "/docs/swagger-ui.css", "GET, HEAD"),
        ("DELETE", "/problems/invalid", "GET, HEAD"),
        ("OPTIONS", "/v1/tasks", "GET, HEAD, POST"),
        ("TRACE", "/v1/tasks", "GET, HEAD, POST"),
    ],
)
def test_another_method_is_405_with_the_possible_ones(
    api: Api, method: str, path: str, allowed: str
) -> None:
    refused = api.call(method, path)

    problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == allowed


def test_each_request_has_its_own_id(api: Api) -> None:
    answers = [api.get("/v1/tasks/gone") for _ in range(2)]

    assert answers[0].json()["request_id"] != answers[1].json()["request_id"]


def test_a_service_that_was_stopped_can_be_started_again(migrated_database_url: str) -> None:
    with serving(migrated_database_url) as api:
        api.task("t", schedule=MANUAL)
        api.ended(api.run("t"))

    with serving(migrated_database_url) as api:
        assert api.ended(api.run("t"))["status"] == "succeeded"
        assert len(api.items("/v1/tasks/t/runs")) == 2


def test_a_service_whose_writer_has_ended_is_not_ready(migrated_database_url: str) -> None:
    with serving(migrated_database_url) as api:
        api.app.state.services.writer.stop()
        refused = problem(api.get("/readyz"), 503, "not-ready")

        assert "writer" in refused["detail"]
