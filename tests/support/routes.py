"""Routes that the applications of a process share.

FastAPI builds them for each application when they are first looked through, which takes longer than most tests. They
hold nothing of an application: a route finds its own by the request.
"""

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

_FIRST: list[BaseRoute] = []
_NOWHERE = {"type": "http", "path": "/nowhere", "method": "GET", "headers": [], "root_path": ""}


def with_shared_routes(app: FastAPI) -> FastAPI:
    """Return an application with the routers of the first one that was given here."""
    routes = app.router.routes
    if not _FIRST:
        _FIRST.extend(routes)
    assert [type(route) for route in routes] == [type(route) for route in _FIRST]
    routes[:] = [
        own if isinstance(own, Route) else first for own, first in zip(routes, _FIRST, strict=True)
    ]
    return app


def look_through(app: FastAPI) -> None:
    """Let FastAPI build the routes."""
    for route in app.router.routes:
        route.matches(dict(_NOWHERE))
