"""Handlers, health, metrics, and answers to what is not there."""

import pytest

from app.domain.zone_database import PINNED
from tests.api.service import MANUAL, Api, problem, serving
from tests.api.test_listing_tasks import walk
from tests.factories import eventually


def test_handlers_are_told_with_the_schema_of_their_input(api: Api) -> None:
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


def test_pages_give_every_handler_once(api: Api) -> None:
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


def test_not_ready_is_503_with_the_time_to_try_again(migrated_database_url: str) -> None:
    with serving(migrated_database_url, stale_after=1e-9) as api:
        refused = problem(api.get("/readyz"), 503, "not-ready")

        assert "firing pass" in refused["detail"]
        assert api.read("/healthz") == {"status": "ok"}


def test_metrics_count_what_was_done(api: Api) -> None:
    api.task("t")
    api.ended(api.run("t"))

    answer = eventually(
        lambda: (
            'rota_runs_total{status="succeeded"} 1.0' in (got := api.get("/metrics")).text and got
        )
    )

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'rota_attempts_total{outcome="succeeded"} 1.0' in answer.text
    assert "rota_firing_pass_age_seconds" in answer.text
    assert f'rota_tzdata_info{{version="{PINNED.version}"}} 1.0' in answer.text


@pytest.mark.parametrize(
    "path", ["/v2/tasks", "/v1", "/v1/", "/v1/tasks/", "/v1/tasks/t/", "/v1/tasks/t/what", "/x"]
)
def test_a_path_that_is_not_there_is_404(api: Api, path: str) -> None:
    problem(api.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/tasks", "GET, POST"),
        ("POST", "/v1/tasks/t", "DELETE, GET, PATCH, PUT"),
        ("GET", "/v1/tasks/t/run", "POST"),
        ("POST", "/v1/tasks/t/runs", "GET"),
        ("POST", "/v1/tasks/t/kv/a", "DELETE, GET, HEAD, PUT"),
        ("PUT", "/v1/runs", "GET"),
        ("DELETE", "/v1/runs/0", "GET"),
        ("GET", "/v1/runs/0/cancel", "POST"),
        ("POST", "/v1/handlers", "GET"),
        ("POST", "/healthz", "GET"),
        ("POST", "/docs", "GET"),
        ("POST", "/", "GET"),
        ("PUT", "/docs/swagger-ui.css", "GET"),
        ("DELETE", "/problems/invalid", "GET"),
        ("OPTIONS", "/v1/tasks", "GET, POST"),
        ("TRACE", "/v1/tasks", "GET, POST"),
    ],
)
def test_a_method_that_is_not_possible_is_405_with_those_that_are(
    api: Api, method: str, path: str, allowed: str
) -> None:
    refused = api.call(method, path)

    problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == allowed


def test_a_request_is_told_apart_by_its_id(api: Api) -> None:
    answers = [api.get("/v1/tasks/gone") for _ in range(2)]

    assert answers[0].json()["request_id"] != answers[1].json()["request_id"]


def test_a_service_that_was_stopped_can_be_started_again(migrated_database_url: str) -> None:
    with serving(migrated_database_url) as api:
        api.task("t", schedule=MANUAL)
        api.ended(api.run("t"))

    with serving(migrated_database_url) as api:
        assert api.ended(api.run("t"))["status"] == "succeeded"
        assert len(api.items("/v1/tasks/t/runs")) == 2


def test_a_writer_that_has_ended_is_seen(migrated_database_url: str) -> None:
    with serving(migrated_database_url) as api:
        api.app.state.services.writer.stop()
        refused = problem(api.get("/readyz"), 503, "not-ready")

        assert "writer" in refused["detail"]
