"""Queues: how many of their runs may run at once, and whether any may."""

from fastapi import APIRouter, Response

from app.api import answers, schemas
from app.api.pagination import Cursor, Limit, decode_cursor, encode_cursor
from app.api.problems import describe
from app.api.replies import reply, send
from app.api.routing import router
from app.api.services import Principal, Served
from app.api.views import show_queue
from app.domain.names import Name
from app.errors import Fault, Invalid
from app.store.queues import PutQueue, RemoveQueue, find_queue, list_queues

routes: APIRouter = router("/v1/queues", "queues")


@routes.get("", response_model=answers.QueuesOut, responses=describe())
def list_all(services: Served, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List queues by name: those that tasks or unfinished runs name, and those of which something was said."""
    position = decode_cursor(cursor, 1)
    with services.database.read() as connection:
        found = list_queues(connection, position[0] if position else "", limit + 1)
    page = found[:limit]
    following = encode_cursor([page[-1].name]) if len(found) > limit else None
    return send(
        reply(200, {"items": [show_queue(queue) for queue in page], "next_cursor": following})
    )


@routes.get("/{name}", response_model=answers.QueueOut, responses=describe(404))
def read(services: Served, name: Name) -> Response:
    """Read a queue. It is there as soon as a task names it, without a limit until one is set."""
    with services.database.read() as connection:
        return send(reply(200, show_queue(find_queue(connection, name))))


@routes.put(
    "/{name}",
    response_model=answers.QueueOut,
    responses=describe(
        also={201: {"model": answers.QueueOut, "description": "Nothing was said of it before."}}
    ),
)
async def declare(
    services: Served, principal: Principal, name: Name, body: schemas.QueueIn
) -> Response:
    """Say how many runs of a queue may run at once, on all replicas together, and whether any may start."""
    _check_name(body, name)
    command = PutQueue(name=name, concurrency=body.concurrency, paused=body.paused, by=principal)
    queue, created = await services.writer.run(command)
    return send(reply(201 if created else 200, show_queue(queue)))


@routes.delete("/{name}", status_code=204, response_class=Response, responses=describe(404))
async def delete(services: Served, name: Name) -> Response:
    """Take back what was said: no limit, not paused. The queue is there for as long as a task names it."""
    await services.writer.run(RemoveQueue(name))
    return Response(status_code=204)


def _check_name(body: schemas.QueueIn, name: str) -> None:
    if body.name not in {None, name}:
        detail = f"the path names the queue {name!r}"
        raise Invalid(f"/name: {detail}.", Fault("/name", detail))
