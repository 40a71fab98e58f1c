"""Holds: spans of time in which the tasks that a selector matches do not fire."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from rota.api.holds.request_models import HoldIn
from rota.api.holds.response_models import HoldOut, HoldsOut, show_hold
from rota.api.http.access import ReadsTasks, WritesTasks
from rota.api.http.audit_entries import of_row
from rota.api.http.pagination import Cursor, Limit, decode_cursor, paginate
from rota.api.http.request_model import check_name
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.problems.problem import describe
from rota.domain.audit.actions import Action, Kind
from rota.domain.primitives.texts.names import Name
from rota.store.holds.changes import EndHold, SetHold
from rota.store.holds.counting import count_held
from rota.store.holds.reading import find_hold, holds_that_matter, list_holds
from rota.store.holds.rows import StoredHold

Counted = Annotated[bool, Query(description="Count the tasks that it selects, too.")]

routes: APIRouter = router("/v1/holds", "holds")


@routes.get("", response_model=HoldsOut, responses=describe())
def list_all(
    services: Served,
    caller: ReadsTasks,
    limit: Limit = 50,
    cursor: Cursor = None,
    ended: Annotated[  # noqa: FBT002  # a query parameter
        bool, Query(description="Also those that have ended, as long as they are kept.")
    ] = False,
) -> Response:
    """List holds by name: those that last, and those to come.

    With a key that is limited to some tasks: those that select tasks with such names only.
    """
    position = decode_cursor(cursor, 2)
    after = (position[0], position[1]) if position else None
    now = services.clock.now()
    with services.database.read() as connection:
        since = None if ended else now
        found = list_holds(connection, after, limit + 1, caller.tasks, lasting_after=since)
    page, following = paginate(found, limit, lambda each: [each.hold.name, each.hold.id])
    items = [show_hold(each, now) for each in page]
    return send(reply(200, HoldsOut(items=items, next_cursor=following)))


@routes.get("/{name}", response_model=HoldOut, responses=describe(404))
def read(
    services: Served,
    caller: ReadsTasks,
    name: Name,
    count: Counted = False,  # noqa: FBT002  # a query parameter
) -> Response:
    """Read a hold that lasts, or is to come."""
    with services.database.read() as connection:
        found = find_hold(connection, name, caller.tasks)
        tasks = count_held(connection, found.hold.selector) if count else None
    return send(reply(200, show_hold(found, services.clock.now(), tasks)))


@routes.put(
    "/{name}",
    response_model=HoldOut,
    responses=describe("not-found", also={201: {"model": HoldOut, "description": "It is new."}}),
)
async def declare(
    services: Served,
    caller: WritesTasks,
    name: Name,
    body: HoldIn,
    count: Counted = False,  # noqa: FBT002  # a query parameter
) -> Response:
    """Set a hold, or change it: one row, however many tasks it selects; their own status is not touched.

    The fire times of the tasks within it do not run, and their runs that wait do not start; running ones continue.
    It ends by itself at `until`. What a hold that is changed has covered stays covered.
    """
    check_name(body.name, name, "hold")
    command = SetHold(
        name=name,
        selector=body.selector.within(caller.tasks),
        fire_times=body.fire_times,
        by=caller.label,
        starts_at=body.starts,
        ends_at=body.ends,
        reason=body.reason,
        limit=caller.tasks,
    )
    made, created = await services.writer.run(of_row(Action.HOLD_SET, Kind.HOLD, name, command))
    tasks = await run_in_threadpool(_look, services, made, count=count)
    return send(reply(201 if created else 200, show_hold(made, services.clock.now(), tasks)))


@routes.delete("/{name}", status_code=204, response_class=Response, responses=describe(404))
async def delete(services: Served, caller: WritesTasks, name: Name) -> Response:
    """End a hold now. What waits for it continues, unless another hold selects its task."""
    command = EndHold(name=name, by=caller.label, limit=caller.tasks)
    ended = await services.writer.run(of_row(Action.HOLD_ENDED, Kind.HOLD, name, command))
    await run_in_threadpool(_look, services, ended, count=False)
    return Response(status_code=204)


def _look(services: Services, of: StoredHold, *, count: bool) -> int | None:
    """Return how many tasks a hold selects, if that is asked for; this process knows of the change from now on."""
    with services.database.read() as connection:
        holds_that_matter(connection)
        return count_held(connection, of.hold.selector) if count else None
