"""POST /v1/tasks/batch: many registrations, all or nothing."""

from asyncio import sleep
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request, Response

from rota.api.http.access import WritesTasks
from rota.api.http.audit_entries import logged
from rota.api.http.responses import IdempotencyKey, commit, idempotency_key, reply, send
from rota.api.http.routing import BATCH_BODY_LIMIT, BATCH_MOST_VALUES, router
from rota.api.http.services import Served, Services, Traceparent
from rota.api.http.validation import refusal
from rota.api.problems.problem import describe
from rota.api.tasks.dry_runs.response_models import BatchDryRunOut
from rota.api.tasks.dry_runs.responses import DryRunQuery, dry_run_all
from rota.api.tasks.names import generated_name
from rota.api.tasks.registration import (
    REGISTERING,
    RegistrationRoute,
    check_costs,
    prepare,
)
from rota.api.tasks.rendering import context_of, show_item
from rota.api.tasks.request_models import BatchIn
from rota.api.tasks.response_models import MOST_UPCOMING, BatchItemOut, BatchOut
from rota.domain.audit.actions import Action
from rota.domain.step_budget import for_a_batch, limited_to
from rota.domain.tasks.definition import Registered
from rota.errors import Fault, Invalid
from rota.store.access.quotas import within_registration
from rota.store.audit.registrations import all_registered
from rota.store.audit.subjects import Tasks
from rota.store.idempotency import Reply
from rota.store.tasks.declaration import Registration
from rota.store.tasks.registration import Register, RegisterAll


class _BatchRoute(RegistrationRoute):
    body_limit = BATCH_BODY_LIMIT
    most_values = BATCH_MOST_VALUES


routes: APIRouter = router("/v1/tasks", "tasks", _BatchRoute)

# So many items are prepared before other requests have a turn.
_SLICE = 20
# And so many are rendered: that takes a tenth of the time.
_RENDERED = 200


@routes.post(
    "/batch",
    status_code=201,
    response_model=BatchOut,
    responses=describe(
        "task-exists",
        "unplannable",
        *REGISTERING,
        also={200: {"model": BatchDryRunOut, "description": "What would be done."}},
    ),
)
async def register_batch(
    request: Request,
    services: Served,
    caller: WritesTasks,
    traceparent: Traceparent,
    body: BatchIn,
    dry_run: DryRunQuery = False,  # noqa: FBT002
    _key: IdempotencyKey = None,
) -> Response:
    """Register up to 10,000 tasks, all or nothing; an error points at the item (`/items/417/…`)."""
    items: list[Register] = []
    for index, item in enumerate(body.items):
        if index % _SLICE == 0:
            await sleep(0)
        name = item.name or generated_name(item.handler, caller.tasks)
        try:
            each = await prepare(services, item, name, caller, body.on_conflict)
            items.append(each if traceparent is None else replace(each, traceparent=traceparent))
        except Invalid as error:
            faults = [Fault(f"/items/{index}{each.pointer}", each.detail) for each in error.faults]
            raise refusal(faults, error.slug, error.omitted) from None
    _check_names_differ(items)
    await check_costs(services, items)
    key = idempotency_key(request)
    if dry_run:
        return await dry_run_all(services, caller, items)
    names = [each.name for each in items]
    command = logged(
        Action.TASK_REGISTERED,
        RegisterAll(tuple(items)),
        Tasks(names),
        changes_of=all_registered,
        details={"bulk": True},
    )
    seeds = any(each.seeds for each in items)
    limited = within_registration(caller, command, seeds=seeds)
    renderer = _BatchRenderer(services, [item.gives_timeout for item in body.items])
    if key is None:
        made = await services.writer.run(limited)
        return send(await renderer.in_slices(made))
    return await commit(request, services, limited, renderer.at_once)


def _check_names_differ(items: Sequence[Register]) -> None:
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        if item.name in first:
            detail = f"item {first[item.name]} has the name {item.name!r} already"
            raise Invalid(f"/items/{index}/name: {detail}.", Fault(f"/items/{index}/name", detail))
        first[item.name] = index


@dataclass(frozen=True, slots=True)
class _BatchRenderer:
    """Renders a batch. `timeouts_given`: for each item, whether it sets a timeout."""

    services: Services
    timeouts_given: Sequence[bool]

    async def in_slices(self, made: Sequence[Registration]) -> Reply:
        """Render a batch; other requests have turns meanwhile."""
        items: list[BatchItemOut] = []
        with limited_to(for_a_batch(len(made))):
            for index, item in enumerate(self._items(made)):
                if item is not None:
                    items.append(item)
                if index % _RENDERED == 0:
                    await sleep(0)
        return _render(made, items)

    def at_once(self, made: Sequence[Registration]) -> Reply:
        """Render a batch within its write, which all other writes wait for."""
        with limited_to(for_a_batch(len(made))):
            return _render(made, [each for each in self._items(made) if each is not None])

    def _items(self, made: Sequence[Registration]) -> Iterator[BatchItemOut | None]:
        context = context_of(self.services)
        for index, (each, given) in enumerate(zip(made, self.timeouts_given, strict=True)):
            yield show_item(each, context, timeout_given=given, with_upcoming=index < MOST_UPCOMING)


def _render(made: Sequence[Registration], items: list[BatchItemOut]) -> Reply:
    outcomes = [each.outcome for each in made]
    shown = BatchOut(
        created=outcomes.count(Registered.CREATED),
        updated=outcomes.count(Registered.UPDATED),
        unchanged=outcomes.count(Registered.UNCHANGED),
        kept=outcomes.count(Registered.KEPT),
        replaced=outcomes.count(Registered.REPLACED),
        names=[each.task.name for each in made],
        items=items,
    )
    return reply(201, shown)
