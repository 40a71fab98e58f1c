"""Handlers that tasks can name."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import (
    BaseModel,
)

from rota.api.http.formats import show_instant, show_seconds
from rota.api.http.pagination import Cursor, Limit, decode_cursor, encode_cursor
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served
from rota.api.problems.problem import describe
from rota.domain.primitives.instants import Instant
from rota.store.handlers import HandlerInfo, list_handlers


class HandlerOut(BaseModel):
    """A handler that tasks can name."""

    name: str
    description: str
    input_schema: dict[str, Any] | None
    timeout: float | None
    isolation: str
    updated_at: Instant | None


class HandlersOut(BaseModel):
    """A page of handlers, by name."""

    items: list[HandlerOut]
    next_cursor: str | None


def show_handler(info: HandlerInfo) -> dict[str, Any]:
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
    page = found[:limit]
    following = encode_cursor([page[-1].name]) if len(found) > limit else None
    return send(
        reply(200, {"items": [show_handler(info) for info in page], "next_cursor": following})
    )
