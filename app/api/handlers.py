"""Handlers that tasks can name."""

from fastapi import APIRouter, Response

from app.api import schemas
from app.api.problems import describe
from app.api.replies import reply, send
from app.api.routing import router
from app.api.services import Served
from app.api.views import show_handler
from app.store.handlers import list_handlers

routes: APIRouter = router("/v1/handlers", "handlers")


@routes.get("", response_model=schemas.HandlersOut, responses=describe())
def list_all(services: Served) -> Response:
    """List the handlers, with the JSON Schema that their input is checked against."""
    with services.database.read() as connection:
        found = list_handlers(connection)
    return send(reply(200, {"items": [show_handler(info) for info in found], "next_cursor": None}))
