"""Responses with a bulk operation, and its entries in the audit log."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Query, Response
from starlette.concurrency import run_in_threadpool

from rota.api.bulk.views import SHOWN, show_bulk, show_item
from rota.api.bulk.waiting import goes_on
from rota.api.http.responses import reply, send
from rota.api.http.services import Services
from rota.domain.access.names import NameLimit
from rota.domain.audit.actions import Kind
from rota.domain.bulk.model import Bulk, ItemResult
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.store.audit.audited import Made
from rota.store.bulk.changes import Changed
from rota.store.bulk.rows import find_bulk, list_items, results
from rota.store.idempotency import Reply

Wait = Annotated[
    float,
    Query(
        ge=0,
        le=60,
        description="Seconds to wait for its end: 200 if it has ended by then, else 202. A request that waits counts "
        "towards ROTA_MAX_STREAMS; if these are taken it does not wait.",
    ),
]


async def respond(
    services: Services, id: Id, limit: NameLimit, wait: float, *, replayed: bool = False
) -> Response:
    """Respond with an operation when it has ended, or the time is up; a preview does not continue."""
    going_on = await goes_on(services, id, wait)
    shown = await run_in_threadpool(show, services, id, limit, 202 if going_on else 200)
    return send(shown, replayed=replayed)


def show(services: Services, id: Id, limit: NameLimit, status: int) -> Reply:
    with services.database.read() as connection:
        found = find_bulk(connection, id, limit)
        items = list_items(
            connection, found, tuple(ItemResult), pending=True, after=-1, limit=SHOWN
        )
        shown = show_bulk(found, results(connection, found))
    shown["items"] = [show_item(each) for each in items]
    return reply(status, shown, {"location": f"/v1/bulk/{id}"})


def changes_of(of: Changed) -> Iterator[Made]:
    if of.now:
        yield from begun(of.bulk)


def begun(of: Bulk) -> Iterator[Made]:
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
