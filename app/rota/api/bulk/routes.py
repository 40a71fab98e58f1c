"""Bulk operations on runs: run many again, cancel or delete them; previewed, confirmed, followed."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from rota.api.bulk import request_models
from rota.api.bulk.request_models import BulkRerunIn, BulkRunsIn
from rota.api.bulk.views import (
    SHOWN,
    BulkItemsOut,
    BulkRunsOut,
    BulksOut,
    show_bulk,
    show_item,
)
from rota.api.bulk.waiting import goes_on
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
    IdempotencyKey,
    fingerprint,
    idempotency_key,
    reply,
    send,
)
from rota.api.http.routing import router
from rota.api.http.services import Served, Services, Traceparent
from rota.api.http.validation import checked_filter
from rota.api.problems.problem import describe
from rota.db.command import Command
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.quotas import Counted, quota_of
from rota.domain.audit.actions import Action, Kind
from rota.domain.bulk import model
from rota.domain.bulk.model import Bulk, BulkVerb, ItemResult
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import GivenId, Id, to_id
from rota.store.audit.audited import Made
from rota.store.bulk.changes import BeginBulk, CancelBulk, Changed, ConfirmBulk
from rota.store.bulk.rows import find_bulk, list_bulks, list_items, results
from rota.store.bulk.selection import select_runs
from rota.store.idempotency import Once, Reply

of_runs: APIRouter = router("/v1/runs", "bulk")
routes: APIRouter = router("/v1/bulk", "bulk")

Wait = Annotated[
    float,
    Query(
        ge=0,
        le=60,
        description="Seconds to wait for its end: 200 if it has ended by then, else 202. A request that waits counts "
        "towards ROTA_MAX_STREAMS; if these are taken it does not wait.",
    ),
]


class ItemFilter(StrEnum):
    """What has become of a run."""

    PENDING = "pending"
    DONE = "done"
    CHANGED = "changed"
    REFUSED = "refused"


_BEGUN = describe(
    also={
        202: {"model": BulkRunsOut, "description": "It goes on; `Location` shows how far it is."}
    },
)


@of_runs.post("/rerun", response_model=BulkRunsOut, responses=_BEGUN)
async def rerun(
    request: Request,
    services: Served,
    caller: WritesRuns,
    traceparent: Traceparent,
    body: BulkRerunIn,
    wait: Wait = 2,
    _key: IdempotencyKey = None,
) -> Response:
    """Run every run again that the selector matches: each makes a new run with the same `scheduled_for`."""
    replaces = "input" in body.model_fields_set
    wanted = model.Request(
        verb=BulkVerb.RERUN,
        selector=body.selector,
        limit=caller.tasks,
        input=json_text.dumps(body.input) if replaces else None,
        max_concurrent=body.max_concurrent,
        traceparent=traceparent,
    )
    return await _begin(request, services, caller, wanted, body, wait)


@of_runs.post("/cancel", response_model=BulkRunsOut, responses=_BEGUN)
async def cancel(
    request: Request,
    services: Served,
    caller: WritesRuns,
    body: BulkRunsIn,
    wait: Wait = 2,
    _key: IdempotencyKey = None,
) -> Response:
    """Cancel every waiting run that the selector matches, and request the running ones to end."""
    wanted = model.Request(verb=BulkVerb.CANCEL, selector=body.selector, limit=caller.tasks)
    return await _begin(request, services, caller, wanted, body, wait)


@of_runs.post("/delete", response_model=BulkRunsOut, responses=_BEGUN)
async def delete(
    request: Request,
    services: Served,
    caller: WritesRuns,
    body: BulkRunsIn,
    wait: Wait = 2,
    _key: IdempotencyKey = None,
) -> Response:
    """Delete every finished run that the selector matches, with its attempts and logs."""
    wanted = model.Request(verb=BulkVerb.DELETE, selector=body.selector, limit=caller.tasks)
    return await _begin(request, services, caller, wanted, body, wait)


@routes.get("", response_model=BulksOut, responses=describe())
def list_all(
    services: Served, caller: ReadsRuns, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the bulk operations on runs, newest first; they are kept for 30 days."""
    after = _id_in(cursor)
    with services.database.read() as connection:
        found = list_bulks(connection, caller.tasks, after, limit + 1)
        page, following = paginate(found, limit, lambda each: [str(each.id)])
        items = [show_bulk(each, results(connection, each)) for each in page]
    return send(reply(200, BulksOut(items=items, next_cursor=following)))


@routes.get("/{id}", response_model=BulkRunsOut, responses=describe(404))
def read(services: Served, caller: ReadsRuns, id: GivenId) -> Response:
    """Read a bulk operation: how far it is, and what has become of how many runs."""
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
        also={202: {"model": BulkRunsOut, "description": "It goes on."}},
    ),
)
async def confirm(services: Served, caller: WritesRuns, id: GivenId, wait: Wait = 2) -> Response:
    """Execute a preview: for exactly the runs that it shows. One that has changed meanwhile is left alone.

    Confirmed again it is not executed again.
    """
    quota = quota_of(caller, Counted.UNFINISHED_RUNS)
    command = ConfirmBulk(id=id, by=caller.label, limit=caller.tasks, quota=quota)
    await services.writer.run(logged(Action.BULK_BEGUN, command, made=_changed))
    return await _ended(services, id, caller.tasks, wait)


@routes.post(
    "/{id}/cancel", response_model=BulkRunsOut, responses=describe("not-found", "wrong-status")
)
async def cancel_bulk(services: Served, caller: WritesRuns, id: GivenId) -> Response:
    """Leave the runs alone that have no result yet; what was done stays."""
    command = CancelBulk(id=id, limit=caller.tasks)
    await services.writer.run(logged(Action.BULK_CANCELLED, command, made=_changed))
    return send(await run_in_threadpool(_shown, services, id, caller.tasks, 200))


async def _begin(
    request: Request,
    services: Services,
    caller: Principal,
    wanted: model.Request,
    body: request_models.BulkRunsIn,
    wait: float,
) -> Response:
    """Store an operation, once per Idempotency-Key, and respond with what it has come to."""
    key = idempotency_key(request)
    # In a thread: to find 100,000 runs takes a while.
    selection = await services.computing.run(_select, services, wanted)
    begin = BeginBulk(
        request=wanted,
        selection=selection,
        by=caller.label,
        confirmed=not body.dry_run,
        quota=quota_of(caller, Counted.UNFINISHED_RUNS),
    )
    command: Command[Bulk] = begin if body.dry_run else logged(Action.BULK_BEGUN, begin, made=_made)
    if key is None:
        id, replayed = (await services.writer.run(command)).id, False
    else:
        once = Once(
            key=key,
            principal=caller.idempotency_scope,
            fingerprint=await fingerprint(request),
            command=command,
            render=_stored,
        )
        stored, replayed = await services.writer.run(once)
        id = to_id(json_text.loads(stored.body)["id"])
    return await _ended(services, id, caller.tasks, wait, replayed=replayed)


def _stored(begun: Bulk) -> Reply:
    """Return what is kept for an Idempotency-Key: a repeated request shows the same operation, as it is then."""
    return reply(202, {"id": begun.id})


def _select(services: Services, wanted: model.Request) -> model.Selection:
    with services.database.read() as connection:
        return select_runs(connection, wanted)


async def _ended(
    services: Services, id: Id, limit: NameLimit, wait: float, *, replayed: bool = False
) -> Response:
    """Respond with an operation when it has ended, or the time is up; a preview does not go on."""
    going_on = await goes_on(services, id, wait)
    shown = await run_in_threadpool(_shown, services, id, limit, 202 if going_on else 200)
    return send(shown, replayed=replayed)


def _shown(services: Services, id: Id, limit: NameLimit, status: int) -> Reply:
    with services.database.read() as connection:
        found = find_bulk(connection, id, limit)
        items = list_items(
            connection, found, tuple(ItemResult), pending=True, after=-1, limit=SHOWN
        )
        shown = show_bulk(found, results(connection, found))
    shown["items"] = [show_item(each) for each in items]
    return reply(status, shown, {"location": f"/v1/bulk/{id}"})


def _changed(of: Changed) -> Iterator[Made]:
    if of.now:
        yield from _made(of.bulk)


def _made(of: Bulk) -> Iterator[Made]:
    selector = of.request.selector
    after = {
        "verb": of.request.verb,
        "selector": json_text.loads(selector.model_dump_json(exclude_defaults=True)),
        "runs": of.runs,
        "executed": of.position,
        "status": of.status,
    }
    # About one task only: then who may see that task's entries sees this one.
    task = selector.task[0] if len(selector.task) == 1 else None
    yield Made(kind=Kind.BULK, name=of.id, task=task, after=after)


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
