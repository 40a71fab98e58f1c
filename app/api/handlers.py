"""Handlers that tasks can name."""

from fastapi import APIRouter, Response

from app.api import answers
from app.api.pagination import Cursor, Limit, decode_cursor, encode_cursor
from app.api.problems import describe
from app.api.replies import reply, send
from app.api.routing import router
from app.api.services import Served
from app.api.views import show_handler
from app.store.handlers import list_handlers

routes: APIRouter = router("/v1/handlers", "handlers")


@routes.get("", response_model=answers.HandlersOut, responses=describe())
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
