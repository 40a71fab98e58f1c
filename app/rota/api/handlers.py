"""Handlers that tasks can name."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText, show_instant, show_seconds
from rota.api.http.pagination import Cursor, Limit, decode_cursor, paginate
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served
from rota.api.problems.problem import describe
from rota.store.handlers import HandlerInfo, list_handlers


class HandlerOut(TypedDict):
    """A handler that tasks can name."""

    name: str
    description: str
    input_schema: Mapping[str, Any] | None
    timeout: float | None
    isolation: str
    updated_at: InstantText | None


class HandlersOut(TypedDict):
    """A page of handlers, by name."""

    items: list[HandlerOut]
    next_cursor: str | None


def show_handler(info: HandlerInfo) -> HandlerOut:
    """Return a handler."""
    return {
        "name": info.name,
        "description": info.description,
        "input_schema": info.input_schema,
        "timeout": show_seconds(info.timeout),
        "isolation": info.isolation,
        "updated_at": show_instant(info.updated_at),
    }


routes: APIRouter = router("/v1/handlers", "handlers")


@routes.get("", response_model=HandlersOut, responses=describe())
def list_all(services: Served, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List the handlers by name, with the JSON Schema that their input is checked against."""
    position = decode_cursor(cursor, 1)
    with services.database.read() as connection:
        found = [
            info for info in list_handlers(connection) if not position or info.name > position[0]
        ]
    page, following = paginate(found, limit, lambda info: [info.name])
    items = [show_handler(info) for info in page]
    return send(reply(200, HandlersOut(items=items, next_cursor=following)))
