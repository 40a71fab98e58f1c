"""The service in this process, and a client that checks every problem document that it gets."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from starlette.middleware import Middleware

from rota.api.problems.types import PROBLEM_TYPES
from rota.handlers.calls import capture
from rota.main import create_app
from rota.settings import Settings
from tests.support.routes import with_shared_routes

BASE = "http://localhost"
HANDLERS = "tests.api.handlers"
MANUAL = {"type": "manual"}
#: Far enough ahead that nothing fires in a test.
YEARLY = {"type": "cron", "expression": "0 0 1 1 *"}
FINAL = {"succeeded", "failed", "cancelled", "skipped"}


class Api:
    """Calls the service; every answer of 400 and above must be a problem as API.md describes it."""

    def __init__(
        self, portal: BlockingPortal, app: FastAPI, headers: Mapping[str, str] | None = None
    ) -> None:
        self.portal = portal
        self.headers = headers
        self.app = app

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        capture.install()  # pytest has put its own streams back since the service began
        return self.portal.call(partial(self._call, method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.call("GET", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self.call("PUT", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.call("POST", path, **options)

    def patch(self, path: str, **options: Any) -> httpx.Response:
        return self.call("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.call("DELETE", path, **options)

    def together(self, calls: Sequence[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """Make calls at the same time; the answers come in the order of the calls."""
        return self.portal.call(self._together, calls)

    def task(self, name: str, **fields: Any) -> dict[str, Any]:
        """Declare a task, with a manual schedule by default; return it as it is read."""
        body = {"handler": "echo", "schedule": MANUAL} | fields
        answer = self.put(f"/v1/tasks/{name}", json=body)
        assert answer.status_code in {200, 201}, answer.text
        return self.read(f"/v1/tasks/{name}")

    def run(self, name: str, **body: Any) -> dict[str, Any]:
        """Run a task now; return the run as it was accepted."""
        answer = self.post(f"/v1/tasks/{name}/run", json=body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def ended(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """Wait for the end of a run; return it."""
        read = self.read(f"/v1/runs/{run['id']}?wait=30")
        assert read["status"] in FINAL, read
        return read

    def read(self, path: str) -> dict[str, Any]:
        """Return what is at a path."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def items(self, path: str) -> list[Any]:
        """Return the items of one page."""
        return list(self.read(path)["items"])

    def names(self, query: str = "") -> list[str]:
        """Return the names of the tasks that a query gives."""
        return [task["name"] for task in self.items(f"/v1/tasks?{query}")]

    async def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        client = httpx.AsyncClient(transport=transport, base_url=BASE, headers=self.headers)
        async with client:
            response = await client.request(method, path, **options)
        if response.status_code >= 400 and method != "HEAD":
            check_problem(response)
        return response

    async def _together(
        self, calls: Sequence[tuple[str, str, dict[str, Any]]]
    ) -> list[httpx.Response]:
        answers: dict[int, httpx.Response] = {}

        async def one(index: int, method: str, path: str, options: dict[str, Any]) -> None:
            answers[index] = await self._call(method, path, **options)

        async with anyio.create_task_group() as group:
            for index, call in enumerate(calls):
                group.start_soon(one, index, *call)
        return [answers[index] for index in range(len(calls))]


@contextmanager
def serving(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    behind_the_gate: Sequence[Middleware] = (),
    **settings: Any,
) -> Iterator[Api]:
    """Start the service on a database, and stop it in the end.

    `behind_the_gate`: what sees a request after its key was checked.
    """
    defaults: dict[str, Any] = {
        "handlers": (HANDLERS,),
        "drain_grace": 0,
        "log_level": "warning",
        "failed_logins": 0,
    }
    app = with_shared_routes(create_app(Settings(database_url=url, **defaults | settings)))
    app.user_middleware.extend(behind_the_gate)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        api = Api(portal, app, headers)
        # FastAPI builds routes when they are first looked through, which two services must not do at the same time.
        api.get("/nowhere")
        yield api


def check_problem(response: httpx.Response) -> None:
    """Fail unless the answer is a problem document of a documented type, with the headers that go with it."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    slug = problem["type"].removeprefix("/problems/")
    assert slug in PROBLEM_TYPES, problem
    assert problem["status"] == response.status_code == PROBLEM_TYPES[slug][0], problem
    assert problem["title"], problem
    assert problem["detail"], problem
    assert problem["request_id"] == response.headers["x-request-id"]
    for fault in problem["errors"]:
        _check_fault(fault)
    _check_headers(response)
    for inside in ("Traceback", "sqlalchemy", "sqlite3", "psycopg", "pydantic"):
        assert inside not in response.text, problem


def _check_fault(fault: dict[str, Any]) -> None:
    assert fault["detail"], fault
    assert ("pointer" in fault) != ("parameter" in fault), fault
    if "pointer" in fault:
        assert fault["pointer"] == "" or fault["pointer"].startswith("/"), fault


def _check_headers(response: httpx.Response) -> None:
    match response.status_code:
        case 401:
            # The feed for calendars, which can send a password only, asks for one.
            assert response.headers["www-authenticate"].split()[0] in {"Bearer", "Basic"}
        case 405:
            assert response.headers["allow"]
        case 429 | 503:
            assert int(response.headers["retry-after"]) > 0
        case _:
            pass


def problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Return the problem if it is the expected one."""
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    assert found["type"] == f"/problems/{slug}", found
    return found


def pointers(response: httpx.Response) -> list[str | None]:
    """Return where the faults are: pointers into the body, or parameters."""
    return [fault.get("pointer", fault.get("parameter")) for fault in response.json()["errors"]]
