"""Bulk operations on runs that are stored: listed, read, confirmed, cancelled."""

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from rota.api.bulk.responses import Wait, changes_of, respond, show
from rota.api.bulk.views import (
    BulkItemsOut,
    BulkRunsOut,
    BulksOut,
    show_bulk,
    show_item,
)
from rota.api.http.access import ReadsRuns, WritesRuns
from rota.api.http.audit_entries import logged
from rota.api.http.pagination import (
    Cursor,
    Limit,
    decode_cursor,
    foreign_cursor,
    paginate,
    split,
)
from rota.api.http.responses import (
    reply,
    send,
)
from rota.api.http.routing import router
from rota.api.http.services import Served
from rota.api.http.validation import checked_filter
from rota.api.problems.problem import describe
from rota.domain.access.quotas import Counted, quota_of
from rota.domain.audit.actions import Action
from rota.domain.bulk.model import ItemResult
from rota.domain.primitives.ids import GivenId, Id, to_id
from rota.store.bulk.changes import CancelBulk, ConfirmBulk
from rota.store.bulk.rows import find_bulk, list_bulks, list_items, results, results_of

routes: APIRouter = router("/v1/bulk", "bulk")


class ItemFilter(StrEnum):
    """The result of a run."""

    PENDING = "pending"
    DONE = "done"
    CHANGED = "changed"
    REFUSED = "refused"


@routes.get("", response_model=BulksOut, responses=describe())
def list_all(
    services: Served, caller: ReadsRuns, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the bulk operations on runs, newest first; they are kept for 30 days."""
    after = _id_in(cursor)
    with services.database.read() as connection:
        found = list_bulks(connection, caller.tasks, after, limit + 1)
        page, following = paginate(found, limit, lambda each: [str(each.id)])
        counted = results_of(connection, page)
    items = [show_bulk(each, counted[each.id]) for each in page]
    return send(reply(200, BulksOut(items=items, next_cursor=following)))


@routes.get("/{id}", response_model=BulkRunsOut, responses=describe(404))
def read(services: Served, caller: ReadsRuns, id: GivenId) -> Response:
    """Read a bulk operation: how far it is, and how many runs have had which result."""
    with services.database.read() as connection:
        found = find_bulk(connection, id, caller.tasks)
        return send(reply(200, show_bulk(found, results(connection, found))))


@routes.get("/{id}/items", response_model=BulkItemsOut, responses=describe(404))
def read_items(
    services: Served,
    caller: ReadsRuns,
    id: GivenId,
    result: Annotated[list[str] | None, Query(description="Only runs with these results.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the runs of a bulk operation, in the order in which they are dealt with, each with its result."""
    wanted = checked_filter("result", split(result), ItemFilter) or tuple(ItemFilter)
    kinds = [ItemResult(each) for each in wanted if each != ItemFilter.PENDING]
    with services.database.read() as connection:
        found = list_items(
            connection,
            find_bulk(connection, id, caller.tasks),
            kinds,
            pending=ItemFilter.PENDING in wanted,
            after=_position_in(cursor),
            limit=limit + 1,
        )
    page, following = paginate(found, limit, lambda each: [str(each.position)])
    items = [show_item(each) for each in page]
    return send(reply(200, BulkItemsOut(items=items, next_cursor=following)))


@routes.post(
    "/{id}/confirm",
    response_model=BulkRunsOut,
    responses=describe(
        "not-found",
        "wrong-status",
        also={202: {"model": BulkRunsOut, "description": "It continues."}},
    ),
)
async def confirm(services: Served, caller: WritesRuns, id: GivenId, wait: Wait = 2) -> Response:
    """Execute a preview: for exactly the runs that it shows. One that has changed meanwhile is left alone.

    Confirmed again it is not executed again.
    """
    quota = quota_of(caller, Counted.UNFINISHED_RUNS)
    command = ConfirmBulk(id=id, by=caller.label, limit=caller.tasks, quota=quota)
    await services.writer.run(logged(Action.BULK_BEGUN, command, made=changes_of))
    return await respond(services, id, caller.tasks, wait)


@routes.post(
    "/{id}/cancel", response_model=BulkRunsOut, responses=describe("not-found", "wrong-status")
)
async def cancel_bulk(services: Served, caller: WritesRuns, id: GivenId) -> Response:
    """Leave the runs alone that have no result yet; what was done stays."""
    command = CancelBulk(id=id, limit=caller.tasks)
    await services.writer.run(logged(Action.BULK_CANCELLED, command, made=changes_of))
    return send(await run_in_threadpool(show, services, id, caller.tasks, 200))


def _id_in(cursor: str | None) -> Id | None:
    position = decode_cursor(cursor, 1)
    if position is None:
        return None
    try:
        return to_id(position[0])
    except ValueError:
        raise foreign_cursor() from None


def _position_in(cursor: str | None) -> int:
    position = decode_cursor(cursor, 1)
    if position is None:
        return -1
    if not (position[0].isascii() and position[0].isdigit() and len(position[0]) < 10):
        raise foreign_cursor()
    return int(position[0])
