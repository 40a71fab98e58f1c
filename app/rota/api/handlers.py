"""Handlers that tasks can name: listed and read; those for workers outside declared and removed."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict

from rota.api.http.access import Administers, ReadsTasks
from rota.api.http.audit_entries import of_row
from rota.api.http.formats import InstantText, show_instant, show_seconds
from rota.api.http.pagination import Cursor, Limit, decode_cursor, paginate
from rota.api.http.request_model import RequestModel, check_name, without
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served
from rota.api.http.validation import refusal
from rota.api.problems.problem import describe
from rota.domain.audit.actions import Action, Kind
from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.durations import Duration
from rota.domain.tasks.input_schema import usable_schema
from rota.errors import Fault
from rota.store.declared_handlers import DeclareHandler, RemoveHandler, existing_handler
from rota.store.handlers import HandlerInfo, list_handlers
from rota.store.replicas import OUTSIDE


class HandlerOut(TypedDict):
    """A handler that tasks can name."""

    name: Annotated[str, Field(examples=["thumbnails"])]
    description: Annotated[str, Field(examples=["Makes previews of uploads."])]
    input_schema: Annotated[
        Mapping[str, Any] | None,
        Field(description="What inputs are checked against; null: any input."),
    ]
    timeout: Annotated[
        float | None, Field(description="The default of its tasks, in seconds.", examples=[60])
    ]
    isolation: Annotated[
        str,
        Field(
            description="`none`: runs in the service's process, `process`: in one of its own, `outside`: workers lease "
            "its runs (`POST /v1/queues/{name}/lease`).",
            examples=["outside"],
        ),
    ]
    updated_at: InstantText | None


class HandlersOut(TypedDict):
    """A page of handlers, by name."""

    items: list[HandlerOut]
    next_cursor: str | None


_SERVICE_FIELDS = frozenset({"isolation", "updated_at"})
# Handlers of replicas can have other names than one can declare.
_AnyName = Annotated[str, Path(min_length=1, max_length=128)]


class HandlerIn(RequestModel):
    """A handler for workers outside. A response of `GET` can be sent back: fields of the service are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "description": "Makes previews of uploads.",
                    "input_schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {"file": {"type": "string"}},
                    },
                    "timeout": "1m",
                }
            ]
        }
    )

    name: Name | None = Field(
        None, description="As in the path; can be left out.", examples=["thumbnails"]
    )
    description: str = Field("", max_length=2_000, examples=["Makes previews of uploads."])
    input_schema: dict[str, Any] | None = Field(
        None,
        description="A JSON Schema that inputs are checked against, of tasks when they are registered and of manual "
        "runs. References to other documents are not followed.",
        examples=[{"type": "object", "required": ["file"]}],
    )
    timeout: Duration | None = Field(
        None, description="The default `timeout` of its tasks.", examples=["1m"]
    )

    @model_validator(mode="before")
    @classmethod
    def _ignore_fields_of_the_service(cls, body: Any) -> Any:
        return without(body, _SERVICE_FIELDS)

    @field_validator("timeout")
    @classmethod
    def _takes_time(cls, timeout: timedelta | None) -> timedelta | None:
        if timeout is not None and not timeout:
            raise PydanticCustomError("timeout", "a run needs a timeout above 0")
        return timeout


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
def list_all(
    services: Served, _caller: ReadsTasks, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the handlers by name, with the JSON Schema that their input is checked against."""
    position = decode_cursor(cursor, 1)
    with services.database.read() as connection:
        found = [
            info for info in list_handlers(connection) if not position or info.name > position[0]
        ]
    page, following = paginate(found, limit, lambda info: [info.name])
    items = [show_handler(info) for info in page]
    return send(reply(200, HandlersOut(items=items, next_cursor=following)))


@routes.get("/{name}", response_model=HandlerOut, responses=describe(404))
def read(services: Served, _caller: ReadsTasks, name: _AnyName) -> Response:
    """Read a handler."""
    with services.database.read() as connection:
        return send(reply(200, show_handler(existing_handler(connection, name))))


@routes.put(
    "/{name}",
    response_model=HandlerOut,
    responses=describe(
        "conflict", also={201: {"model": HandlerOut, "description": "It was not declared before."}}
    ),
)
async def declare(services: Served, _caller: Administers, name: Name, body: HandlerIn) -> Response:
    """Declare a handler for workers outside: tasks can name it, and workers lease its runs.

    The name of a handler that a replica serves is refused. A replica that starts to serve a declared name takes it
    over: its runs are no longer leased.
    """
    check_name(body.name, name, "handler")
    if body.input_schema is not None:
        await run_in_threadpool(_check_schema, body.input_schema)
    info = HandlerInfo(
        name=name,
        description=body.description,
        input_schema=body.input_schema,
        timeout=body.timeout,
        isolation=OUTSIDE,
    )
    command = of_row(Action.HANDLER_DECLARED, Kind.HANDLER, name, DeclareHandler(info))
    declared, created = await services.writer.run(command)
    services.handlers.forget()
    return send(reply(201 if created else 200, show_handler(declared)))


@routes.delete(
    "/{name}",
    status_code=204,
    response_class=Response,
    responses=describe("not-found", "conflict"),
)
async def delete(services: Served, _caller: Administers, name: _AnyName) -> Response:
    """Remove a declared handler. While tasks name it, that is a 409."""
    command = of_row(Action.HANDLER_REMOVED, Kind.HANDLER, name, RemoveHandler(name))
    await services.writer.run(command)
    services.handlers.forget()
    return Response(status_code=204)


def _check_schema(schema: dict[str, Any]) -> None:
    found = usable_schema(schema)
    if isinstance(found, Fault):
        raise refusal([Fault("/input_schema", found.detail)])
