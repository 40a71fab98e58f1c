"""Bulk: a verb applied to every task that a selector matches."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Self

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict

from rota.api.http.access import WritesRuns, WritesTasks
from rota.api.http.audit_entries import logged
from rota.api.http.request_model import RequestModel
from rota.api.http.responses import IdempotencyKey, fingerprint, idempotency_key, reply, send
from rota.api.http.routing import router
from rota.api.http.services import (
    Served,
    Services,
    Traceparent,
)
from rota.api.problems.problem import describe
from rota.api.tasks.request_models import PauseIn, ResumeIn
from rota.db.command import Command, Transaction
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.quotas import Counted, quota_of
from rota.domain.audit.actions import Action, Kind
from rota.domain.primitives import json_text
from rota.domain.primitives.names import NAME_PREFIX_PATTERN
from rota.domain.tasks.definition import Tag, TaskStatus
from rota.store.audit.audited import Made
from rota.store.audit.registrations import AuditedChange
from rota.store.audit.subjects import Tasks
from rota.store.idempotency import Once, Reply
from rota.store.task_rows import TaskFilter
from rota.store.tasks.bulk import SELECTED_TOGETHER, Ahead, Batch, DoEach, select_ahead
from rota.store.tasks.bulk_runs import RunEach
from rota.store.tasks.bulk_verbs import (
    Refused,
    ResumeEach,
    Verb,
    cancel_each,
    delete_each,
    pause_each,
)

routes: APIRouter = router("/v1/tasks", "bulk")

#: How many refusals a response shows.
REFUSALS_SHOWN = 10
_MOST_VALUES = 200
_NARROWING = ("tags", "all_tags", "handler", "queue", "name_prefix", "status")
# Handlers of replicas can have other names than tasks.
_AnyName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class SelectorIn(RequestModel):
    """Which tasks to select. Values of one member are OR-ed, members are AND-ed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tags": ["billing"], "status": ["active"]}]}
    )

    tags: tuple[Tag, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Tasks that have one of these tags.",
    )
    all_tags: tuple[Tag, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Tasks that have all of these tags.",
    )
    handler: tuple[_AnyName, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Tasks that name one of these handlers.",
    )
    queue: tuple[_AnyName, ...] = Field(
        (), min_length=1, max_length=_MOST_VALUES, description="Tasks of one of these queues."
    )
    name_prefix: str = Field(
        "", pattern=NAME_PREFIX_PATTERN, description="Tasks whose names have this prefix."
    )
    status: tuple[TaskStatus, ...] = Field(
        (),
        min_length=1,
        max_length=_MOST_VALUES,
        description="Tasks that have one of these statuses.",
    )
    all: bool = Field(
        False,
        strict=True,
        description="Every task; excludes the other members.",
    )

    @model_validator(mode="after")
    def _selects(self) -> Self:
        narrows = any(getattr(self, name) for name in _NARROWING)
        if not narrows and not self.all:
            raise PydanticCustomError(
                "selector",
                "select tasks by 'tags', 'all_tags', 'handler', 'queue', 'name_prefix' or 'status'; "
                'for every task send "all": true',
            )
        if narrows and self.all:
            raise PydanticCustomError("selector", '"all": true goes without the other members')
        return self


class _BulkIn(RequestModel):
    selector: SelectorIn
    dry_run: bool = Field(
        False,
        strict=True,
        description="Return the same response, and change nothing.",
    )


class BulkIn(_BulkIn):
    """The tasks to apply the verb to."""


class BulkPauseIn(_BulkIn, PauseIn):
    """The tasks to pause, and why."""


class BulkResumeIn(_BulkIn, ResumeIn):
    """The tasks to resume, and what to do with the fire times that passed meanwhile."""


class RefusedOut(TypedDict):
    """A task that the verb could not be applied to, and why: the problem that the verb alone would have returned."""

    task: Annotated[str, Field(examples=["invoice-digest"])]
    type: Annotated[str, Field(examples=["/problems/wrong-status"])]
    detail: str


class BulkOut(TypedDict):
    """What was done."""

    matched: Annotated[int, Field(description="Tasks that the selector matched.")]
    changed: Annotated[int, Field(description="Those that the verb changed.")]
    unchanged: Annotated[int, Field(description="Those that needed no change, or were refused.")]
    refused: Annotated[
        list[RefusedOut],
        Field(
            description=f"Those that the verb could not be applied to; the first {REFUSALS_SHOWN}."
        ),
    ]


@routes.post("/pause", response_model=BulkOut, responses=describe())
async def pause(services: Served, caller: WritesTasks, body: BulkPauseIn) -> Response:
    """Pause every task that the selector matches."""
    verb = pause_each(caller.label, body.reason)
    return await _do_each(services, Action.TASK_PAUSED, verb, body, caller.tasks)


@routes.post("/resume", response_model=BulkOut, responses=describe())
async def resume(services: Served, caller: WritesTasks, body: BulkResumeIn) -> Response:
    """Resume every task that the selector matches."""
    verb = ResumeEach(caller.label, body.catch_up, monotonic=services.clock.monotonic)
    return await _do_each(services, Action.TASK_RESUMED, verb, body, caller.tasks)


@routes.post("/cancel", response_model=BulkOut, responses=describe())
async def cancel(services: Served, caller: WritesTasks, body: BulkIn) -> Response:
    """Cancel every task that the selector matches; their kv and history stay."""
    verb = cancel_each(caller.label)
    return await _do_each(services, Action.TASK_CANCELLED, verb, body, caller.tasks)


@routes.post("/delete", response_model=BulkOut, responses=describe())
async def delete(services: Served, caller: WritesTasks, body: BulkIn) -> Response:
    """Delete every task that the selector matches, with its runs and its key-value table."""
    return await _do_each(services, Action.TASK_DELETED, delete_each(), body, caller.tasks)


@routes.post("/run", response_model=BulkOut, responses=describe())
async def run(
    request: Request,
    services: Served,
    caller: WritesRuns,
    traceparent: Traceparent,
    body: BulkIn,
    _key: IdempotencyKey = None,
) -> Response:
    """Run every task that the selector matches, now, each with its own input."""
    key = idempotency_key(request)
    if key is None or body.dry_run:
        verb = RunEach(traceparent, quota_of(caller, Counted.UNFINISHED_RUNS))
        return await _do_each(services, Action.RUN_REQUESTED, verb, body, caller.tasks)
    return await _run_each_once(request, services, caller, key, body, traceparent)


async def _do_each(
    services: Services, action: Action, verb: Verb, body: _BulkIn, limit: NameLimit
) -> Response:
    tally = _Tally()
    async for command in tally.commands(services, verb, body, limit):
        tally.add(await services.writer.run(_logged(action, command)))
    return send(tally.reply())


def _logged(action: Action, command: DoEach) -> Command[Batch]:
    """Return a write that records each task that it changes, or runs."""
    if command.dry_run:
        return command
    if action is Action.RUN_REQUESTED:
        return logged(action, command, made=_each_run, details={"bulk": True})
    tasks = Tasks((), definitions=False)
    return logged(action, command, tasks, changes_of=_changes, details={"bulk": True})


def _changes(_tx: Transaction, batch: Batch) -> Iterator[AuditedChange]:
    """Yield what a write has changed: no other task, though one may have been registered since it was selected."""
    for each in batch.changes:
        yield AuditedChange(*each)


def _each_run(batch: Batch) -> Iterator[Made]:
    for name in batch.ran:
        yield Made(kind=Kind.TASK, name=name, task=name)


async def _run_each_once(
    request: Request,
    services: Services,
    caller: Principal,
    key: str,
    body: BulkIn,
    traceparent: str | None,
) -> Response:
    """Run tasks once per key. Each write stores its response: a repeated request continues after the last one."""
    tally, replayed = _Tally(), True
    digest = await fingerprint(request)
    verb = RunEach(traceparent, quota_of(caller, Counted.UNFINISHED_RUNS))
    async for command in tally.commands(services, verb, body, caller.tasks):
        once = Once(
            key=key if not tally.batches else _further_key(key, tally.batches),
            principal=caller.idempotency_scope,
            fingerprint=digest,
            command=_logged(Action.RUN_REQUESTED, command),
            render=_render_batch,
        )
        stored, was_stored = await services.writer.run(once)
        replayed &= was_stored
        tally.add(_parse_batch(stored))
    return send(tally.reply(), replayed=replayed)


def _select(services: Services, wanted: TaskFilter, after: str) -> Ahead:
    """Return the next tasks that a filter matches: found before the writes, so that the writer need not wait for it."""
    with services.database.read() as connection:
        return select_ahead(connection, wanted, after, SELECTED_TOGETHER)


class _Tally:
    """The results of the writes of a request so far."""

    def __init__(self) -> None:
        self.batches = 0
        self._matched = 0
        self._changed = 0
        self._refused: list[Refused] = []
        self._last: str | None = ""
        self._ahead = Ahead()

    async def commands(
        self, services: Services, verb: Verb, body: _BulkIn, limit: NameLimit
    ) -> AsyncIterator[DoEach]:
        """Yield one write after another, each for the tasks after the previous one; call `add` in between.

        `limit`: the tasks that the client may see; a selector matches no others.
        """
        wanted = TaskFilter(
            tag=body.selector.tags,
            all_tags=body.selector.all_tags,
            handler=body.selector.handler,
            queue=body.selector.queue,
            name_prefix=body.selector.name_prefix,
            status=body.selector.status,
            limit=limit,
        )
        while self._last is not None:
            if not self._ahead.tasks:
                self._ahead = await run_in_threadpool(_select, services, wanted, self._last)
            yield DoEach(
                verb=verb,
                wanted=wanted,
                after=self._last,
                ahead=self._ahead,
                dry_run=body.dry_run,
            )

    def add(self, batch: Batch) -> None:
        self.batches += 1
        self._matched += batch.matched
        self._changed += batch.changed
        self._refused.extend(batch.refused[: REFUSALS_SHOWN - len(self._refused)])
        self._last, self._ahead = batch.last, batch.ahead

    def reply(self) -> Reply:
        refused: list[RefusedOut] = [
            {"task": each.task, "type": f"/problems/{each.slug}", "detail": each.detail}
            for each in self._refused
        ]
        shown = BulkOut(
            matched=self._matched,
            changed=self._changed,
            unchanged=self._matched - self._changed,
            refused=refused,
        )
        return reply(200, shown)


def _further_key(key: str, number: int) -> str:
    """Return the key of a further write; it has a space, so that it differs from all keys of clients."""
    return f"{hashlib.sha256(key.encode()).hexdigest()} {number}"


def _render_batch(batch: Batch) -> Reply:
    refused = [[each.task, each.slug, each.detail] for each in batch.refused[:REFUSALS_SHOWN]]
    content = {
        "matched": batch.matched,
        "changed": batch.changed,
        "refused": refused,
        "last": batch.last,
    }
    return reply(200, content)


def _parse_batch(stored: Reply) -> Batch:
    content: dict[str, Any] = json_text.loads(stored.body)
    return Batch(
        matched=content["matched"],
        changed=content["changed"],
        refused=tuple(Refused(*each) for each in content["refused"]),
        last=content["last"],
    )
