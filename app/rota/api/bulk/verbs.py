"""The verbs of bulk operations on runs: each begins an operation, or stores a preview of one."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from rota.api.bulk.request_models import BulkRerunIn, BulkRunsIn
from rota.api.bulk.responses import Wait, begun, respond
from rota.api.bulk.views import BulkRunsOut
from rota.api.http.access import WritesRuns
from rota.api.http.audit_entries import logged
from rota.api.http.responses import IdempotencyKey, fingerprint, idempotency_key, reply
from rota.api.http.routing import router
from rota.api.http.services import Served, Services, Traceparent
from rota.api.problems.problem import describe
from rota.db.command import Command
from rota.domain.access.principal import Principal
from rota.domain.access.quotas import Counted, quota_of
from rota.domain.audit.actions import Action
from rota.domain.bulk import model
from rota.domain.bulk.model import Bulk, BulkVerb
from rota.domain.primitives.ids import Id, to_id
from rota.domain.primitives.json import json_text
from rota.store.bulk.changes import BeginBulk
from rota.store.bulk.selection import select_runs
from rota.store.idempotency import Once, Reply

routes: APIRouter = router("/v1/runs", "bulk")

_BEGUN = describe(
    also={
        202: {"model": BulkRunsOut, "description": "It continues; `Location` shows how far it is."}
    },
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request for an operation, apart from who makes it and what it is about."""

    request: Request
    services: Services
    wait: float
    #: Its Idempotency-Key, if it has one.
    key: str | None

    async def begin(self, caller: Principal, wanted: model.Request, body: BulkRunsIn) -> Response:
        """Store an operation, once per Idempotency-Key, and respond with its state."""
        # In a thread: to find 100,000 runs takes a while.
        selection = await self.services.computing.run(_select, self.services, wanted)
        begin = BeginBulk(
            request=wanted,
            selection=selection,
            by=caller.label,
            confirmed=not body.dry_run,
            quota=quota_of(caller, Counted.UNFINISHED_RUNS),
        )
        id, replayed = await self._store(
            caller, begin if body.dry_run else logged(Action.BULK_BEGUN, begin, made=begun)
        )
        return await respond(self.services, id, caller.tasks, self.wait, replayed=replayed)

    async def _store(self, caller: Principal, command: Command[Bulk]) -> tuple[Id, bool]:
        """Return the id of the operation, and whether an earlier request with the same key has stored it."""
        if self.key is None:
            return (await self.services.writer.run(command)).id, False
        once = Once(
            key=self.key,
            principal=caller.idempotency_scope,
            fingerprint=await fingerprint(self.request),
            command=command,
            render=_stored,
        )
        stored, replayed = await self.services.writer.run(once)
        return to_id(json_text.loads(stored.body)["id"]), replayed


async def _asked(
    request: Request, services: Served, wait: Wait = 2, _key: IdempotencyKey = None
) -> _Asked:
    return _Asked(request, services, wait, idempotency_key(request))


Asked = Annotated[_Asked, Depends(_asked)]


@routes.post("/rerun", response_model=BulkRunsOut, responses=_BEGUN)
async def rerun(
    asked: Asked, caller: WritesRuns, traceparent: Traceparent, body: BulkRerunIn
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
    return await asked.begin(caller, wanted, body)


@routes.post("/cancel", response_model=BulkRunsOut, responses=_BEGUN)
async def cancel(asked: Asked, caller: WritesRuns, body: BulkRunsIn) -> Response:
    """Cancel every waiting run that the selector matches, and request the running ones to end."""
    wanted = model.Request(verb=BulkVerb.CANCEL, selector=body.selector, limit=caller.tasks)
    return await asked.begin(caller, wanted, body)


@routes.post("/delete", response_model=BulkRunsOut, responses=_BEGUN)
async def delete(asked: Asked, caller: WritesRuns, body: BulkRunsIn) -> Response:
    """Delete every finished run that the selector matches, with its attempts and logs."""
    wanted = model.Request(verb=BulkVerb.DELETE, selector=body.selector, limit=caller.tasks)
    return await asked.begin(caller, wanted, body)


def _stored(begun: Bulk) -> Reply:
    """Return what is kept for an Idempotency-Key: a repeated request shows the same operation, as it is then."""
    return reply(202, {"id": begun.id})


def _select(services: Services, wanted: model.Request) -> model.Selection:
    with services.database.read() as connection:
        return select_runs(connection, wanted)
