"""Queues: how many of their runs may run at once, and whether any may start."""

from datetime import timedelta
from typing import Annotated, Any, NotRequired

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from rota.api.http.access import ReadsTasks, SetsQueues, check_settings
from rota.api.http.audit_entries import of_row
from rota.api.http.formats import InstantText, show_instant
from rota.api.http.pagination import Cursor, Limit, decode_cursor, paginate
from rota.api.http.request_model import RequestModel, check_name, without
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served
from rota.api.problems.problem import describe
from rota.domain.access.principal import Principal
from rota.domain.audit.actions import Action, Kind
from rota.domain.policies import MAX_CONCURRENCY
from rota.domain.primitives.texts.names import Name
from rota.store.runs.queues import (
    PutQueue,
    Queue,
    RemoveQueue,
    Visible,
    ended_by_queue,
    find_queue,
    list_queues,
)


class QueueOut(TypedDict):
    """A queue in its present state, with its unfinished runs counted by status."""

    name: Annotated[str, Field(examples=["mail"])]
    concurrency: Annotated[
        int | None,
        Field(description="At most so many run at once, on all replicas together.", examples=[5]),
    ]
    paused: bool
    queued: Annotated[
        int,
        Field(
            description="Wait for a slot, or (a retry, a later time) for their `not_before`.",
            examples=[12],
        ),
    ]
    running: Annotated[int, Field(examples=[5])]
    blocked: Annotated[
        int, Field(description="Wait for what their `waiting_on` names.", examples=[0])
    ]
    oldest_queued_at: Annotated[
        InstantText | None,
        Field(
            description="For when the queued run that waits longest was due; null: none is queued."
        ),
    ]
    ended: NotRequired[
        Annotated[
            int,
            Field(
                description="With `ended=true`: its runs that ended in the last five minutes, but for skipped ones.",
                examples=[240],
            ),
        ]
    ]
    updated_at: Annotated[InstantText | None, Field(description="Null: it was never set.")]
    updated_by: Annotated[str | None, Field(examples=["key:1"])]


class QueuesOut(TypedDict):
    """A page of queues, by name."""

    items: list[QueueOut]
    next_cursor: str | None


_SERVICE_FIELDS = frozenset(
    {"blocked", "ended", "oldest_queued_at", "queued", "running", "updated_at", "updated_by"}
)


class QueueIn(RequestModel):
    """The settings of a queue. A response of `GET` can be sent back: fields of the service are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"concurrency": 5}]})

    name: Name | None = Field(None, description="As in the path; can be left out.")
    concurrency: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=MAX_CONCURRENCY,
        description="At most so many of its runs run at once, on all replicas together; null: no limit.",
        examples=[5],
    )
    paused: bool = Field(
        False, strict=True, description="No run of it starts; those that are running end."
    )

    @model_validator(mode="before")
    @classmethod
    def _ignore_fields_of_the_service(cls, body: Any) -> Any:
        return without(body, _SERVICE_FIELDS)

    @field_validator("concurrency", mode="before")
    @classmethod
    def _not_0(cls, concurrency: Any) -> Any:
        if concurrency == 0 and concurrency is not False:
            raise PydanticCustomError(
                "concurrency",
                "a queue runs at least 1 at once; for none, set 'paused', for no limit, null",
            )
        return concurrency


def show_queue(queue: Queue) -> QueueOut:
    """Return a queue."""
    return {
        "name": queue.name,
        "concurrency": queue.concurrency,
        "paused": queue.paused,
        "queued": queue.queued,
        "running": queue.running,
        "blocked": queue.blocked,
        "oldest_queued_at": show_instant(queue.oldest_queued_at),
        "updated_at": show_instant(queue.updated_at),
        "updated_by": queue.updated_by,
    }


#: The span of `ended`.
ENDED_WITHIN = timedelta(minutes=5)


def _visible_to(caller: Principal) -> Visible:
    return Visible(caller.tasks, caller.queues)


routes: APIRouter = router("/v1/queues", "queues")


@routes.get("", response_model=QueuesOut, responses=describe())
def list_all(
    services: Served,
    caller: ReadsTasks,
    ended: Annotated[  # noqa: FBT002  # a query parameter
        bool, Query(description="Also count the runs that ended in the last five minutes.")
    ] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List queues by name: those that tasks or unfinished runs name, and those that were set.

    With a key that is limited to some tasks: those that these use, and only their runs are counted.
    """
    position = decode_cursor(cursor, 1)
    with services.database.read() as connection:
        found = list_queues(
            connection, position[0] if position else "", limit + 1, _visible_to(caller)
        )
        page, following = paginate(found, limit, lambda queue: [queue.name])
        items = [show_queue(queue) for queue in page]
        if ended:
            since, names = services.clock.now() - ENDED_WITHIN, [queue.name for queue in page]
            counts = ended_by_queue(connection, names, since, caller.tasks)
            items = [{**each, "ended": counts.get(each["name"], 0)} for each in items]
    return send(reply(200, QueuesOut(items=items, next_cursor=following)))


@routes.get("/{name}", response_model=QueueOut, responses=describe(404))
def read(services: Served, caller: ReadsTasks, name: Name) -> Response:
    """Read a queue. It exists as soon as a task names it, without a limit until one is set."""
    with services.database.read() as connection:
        return send(reply(200, show_queue(find_queue(connection, name, _visible_to(caller)))))


@routes.put(
    "/{name}",
    response_model=QueueOut,
    responses=describe(
        "not-found", also={201: {"model": QueueOut, "description": "It was not set before."}}
    ),
)
async def declare(services: Served, caller: SetsQueues, name: Name, body: QueueIn) -> Response:
    """Set how many runs of a queue may run at once, on all replicas together, and whether any may start."""
    check_settings(caller, name)
    check_name(body.name, name, "queue")
    command = PutQueue(
        name=name,
        concurrency=body.concurrency,
        paused=body.paused,
        by=caller.label,
        visible=_visible_to(caller),
    )
    queue, created = await services.writer.run(of_row(Action.QUEUE_SET, Kind.QUEUE, name, command))
    return send(reply(201 if created else 200, show_queue(queue)))


@routes.delete("/{name}", status_code=204, response_class=Response, responses=describe(404))
async def delete(services: Served, caller: SetsQueues, name: Name) -> Response:
    """Reset a queue: no limit, not paused. The queue exists for as long as a task names it."""
    check_settings(caller, name)
    command = RemoveQueue(name, _visible_to(caller))
    await services.writer.run(of_row(Action.QUEUE_RESET, Kind.QUEUE, name, command))
    return Response(status_code=204)
