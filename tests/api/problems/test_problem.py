"""Faults that are not the client's: 500 has no details, 503 has a time to try again."""

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from tests.api.service import BASE, Api, check_problem, problem


def test_a_bug_is_500_without_internal_details(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_connection: object) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr("rota.api.handlers.list_handlers", broken)
    transport = httpx.ASGITransport(api.app, raise_app_exceptions=False)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            return await client.get("/v1/handlers")

    answer = api.portal.call(ask)

    check_problem(answer)
    assert "request_id" in problem(answer, 500, "internal")
    assert "inside" not in answer.text


def test_a_request_for_which_there_is_no_thread_is_503(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_connection: object) -> None:
        raise RuntimeError("can't start new thread")  # as `Thread.start` does

    monkeypatch.setattr("rota.api.handlers.list_handlers", refused)

    answer = api.call("GET", "/v1/handlers")

    assert "limit on processes" in problem(answer, 503, "unavailable")["detail"]
    assert answer.headers["retry-after"] == "1"


def test_a_write_that_cannot_be_accepted_is_503(api: Api) -> None:
    api.task("t")
    api.app.state.services.writer.stop()

    for method, path in (("PUT", "/v1/tasks/t/kv/a"), ("POST", "/v1/tasks/t/run")):
        refused = api.call(method, path, json={"value": 1} if method == "PUT" else {})
        problem(refused, 503, "unavailable")
    assert api.read("/v1/tasks/t")["name"] == "t"


def test_a_database_that_does_not_respond_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    database = api.app.state.services.database._database
    monkeypatch.setattr(database._reading, "connect", gone)

    for path in ("/v1/tasks", "/v1/tasks/t", "/v1/runs", "/v1/handlers", "/readyz"):
        problem(api.get(path), 503, "unavailable")
    assert api.read("/healthz") == {"status": "ok"}
