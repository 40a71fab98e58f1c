"""Routes that the applications of a process share, and the OpenAPI document that is made of them.

FastAPI builds them for each application when they are first looked through, which takes longer than most tests; the
document takes a second. They hold nothing of an application: a route finds its own by the request.
"""

from fastapi import FastAPI
from starlette.routing import Route

_FIRST: list[FastAPI] = []
_NOWHERE = {"type": "http", "path": "/nowhere", "method": "GET", "headers": [], "root_path": ""}


def with_shared_routes(app: FastAPI) -> FastAPI:
    """Return an application with the routers and the document of the first one that was given here."""
    if not _FIRST:
        _FIRST.append(app)
    shared, routes = _FIRST[0].router.routes, app.router.routes
    assert [type(route) for route in routes] == [type(route) for route in shared]
    routes[:] = [
        own if isinstance(own, Route) else first for own, first in zip(routes, shared, strict=True)
    ]
    app.openapi = _FIRST[0].openapi  # type: ignore[method-assign]  # as the service itself sets it
    return app


def look_through(app: FastAPI) -> None:
    """Let FastAPI build the routes."""
    for route in app.router.routes:
        route.matches(dict(_NOWHERE))
