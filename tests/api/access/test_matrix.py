"""Who may call what: every route of the router, for every scope, with and without a limit to the names of a team.

A request that may be made is answered with 422 here, since it has a parameter that no route knows; one that may not is
refused before that is noticed. So nothing is changed, and no route needs a request that fits it.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from rota.api.http.access import Needs, needs_of
from rota.api.middleware.auth import is_open
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.scopes import Scope
from tests.api.access.clients import OURS, TEAM, THEIRS, client, shared, with_key
from tests.api.service import Api

#: Routes that need no scope, and why.
OPEN = {
    ("GET", "/healthz"): "load balancers have no key",
    ("GET", "/readyz"): "load balancers have no key; the details are for those who have one",
    ("POST", "/v1/runs/{id}/complete"): "the token of the attempt is what it needs",
    ("POST", "/v1/runs/{id}/heartbeat"): "the token of the attempt is what it needs",
}
#: Routes with public content, which let anyone in and say themselves what they do not show.
PUBLIC = {"/v1/tasks/{name}/badge.svg", "/v1/status"}
#: What the router has beside the routes of the API: the documentation, without stored data.
DOCUMENTATION = {
    *(
        "/",
        "/docs",
        "/docs/openapi.json",
        "/docs/{asset}",
        "/openapi.json",
        "/problems/",
        "/problems/{slug}",
        "/llms.txt",
    ),
    *("/guide", "/guide/files/{path:path}", "/guide/{name:path}"),
}
ANYONE = {"name": "ours-1", "key": "k", "id": "0", "version": "1", "number": "1"}


class Call(NamedTuple):
    """One request of the matrix, and what it is answered with."""

    method: str
    path: str
    caller: Principal | None
    expected: tuple[int, str]

    def __str__(self) -> str:
        who = "nobody" if self.caller is None else f"{set(self.caller.scopes)} {self.caller.tasks}"
        return f"{self.method} {self.path} by {who}"


@pytest.fixture(scope="module")
def service(another_database: Callable[[str], str]) -> Iterator[Api]:
    with shared(another_database("sqlite")) as api:
        yield api


def routes(api: Api) -> Iterator[tuple[str, str, Any]]:
    """Yield method, path and dependant of every route of the API."""
    for route in api.app.state.routes:
        for method in sorted(route.methods):
            yield method, route.path, route.dependant


def callers() -> Iterator[Principal]:
    """Yield clients with one scope, with all others, with all, and those limited to the tasks of a team."""
    yield client(Scope.ADMIN)  # which has no limits
    for scope in TEAM:
        yield client(*(set(TEAM) - {scope}))
    for limit in (NameLimit(), OURS, THEIRS):
        yield client(*TEAM, tasks=limit)
        for scope in TEAM:
            yield client(scope, tasks=limit)


def expected(path: str, needs: Needs, caller: Principal) -> tuple[int, str]:
    """Return what a client gets for a path that names the task `ours-1`, if it names one."""
    if needs.scope is not None and not {needs.scope, Scope.ADMIN} & caller.scopes:
        return 403, "forbidden"
    if needs.for_all_tasks and caller.tasks.prefixes is not None:
        return 403, "forbidden"
    if "/tasks/{name}" in path and caller.tasks == THEIRS:
        return 404, "not-found"
    return 422, "unknown-parameter"


def matrix(api: Api) -> Iterator[Call]:
    for method, path, dependant in routes(api):
        needs = needs_of(dependant)
        at = path.format_map(ANYONE)
        if needs is None:
            continue
        nobody = (422, "unknown-parameter") if path in PUBLIC else (401, "unauthorized")
        yield Call(method, at, None, nobody)
        for caller in callers():
            yield Call(method, at, caller, expected(path, needs, caller))


def test_every_route_says_which_scope_it_needs(service: Api) -> None:
    silent = {
        (method, path) for method, path, dependant in routes(service) if needs_of(dependant) is None
    }

    assert silent == OPEN.keys()


def test_only_routes_that_need_no_scope_are_called_without_a_key(service: Api) -> None:
    assert {(method, path) for method, path, _ in routes(service) if is_open(path)} == OPEN.keys()


def test_the_router_has_no_other_routes(service: Api) -> None:
    known = {id(route) for route in service.app.state.routes}
    others = {route.path for route in _all_routes(service.app.router) if id(route) not in known}

    assert others <= DOCUMENTATION, "add its router to `state.routes`, or it is not in the matrix"


def _all_routes(router: Any) -> Iterator[Route]:
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from _all_routes(inner)


def test_each_client_may_call_what_its_scopes_and_its_limit_allow(service: Api) -> None:
    calls = list(matrix(service))

    keys = {caller: with_key(service, caller) for caller in callers()}
    answers = service.portal.call(_answers, service, calls, keys)

    assert len(calls) > 50 * len(list(callers()))
    wrong = {
        str(call): (answer, call.expected)
        for call, answer in zip(calls, answers, strict=True)
        if answer != call.expected
    }
    assert wrong == {}


Keys = dict[Principal, dict[str, str]]


async def _answers(api: Api, calls: list[Call], keys: Keys) -> list[tuple[int, str]]:
    return [
        await _answer(api.app, call, {} if call.caller is None else keys[call.caller])
        for call in calls
    ]


async def _answer(app: ASGIApp, call: Call, key: dict[str, str]) -> tuple[int, str]:
    """Call the application itself: a client would take most of the time of so many calls."""
    sent: list[Message] = []

    async def receive() -> Message:
        # A body that is no JSON: it is not read either before it is known who sends it.
        return {"type": "http.request", "body": b"{", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_connection(call, key), receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)["type"].removeprefix("/problems/")


def _connection(call: Call, key: dict[str, str]) -> dict[str, Any]:
    named = {"host": "localhost", "content-length": "1"} | key
    return {
        "type": "http",
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "root_path": "",
        "query_string": b"no=such",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
