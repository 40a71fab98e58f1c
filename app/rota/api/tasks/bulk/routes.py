"""Bulk: a verb applied to every task that a selector matches."""

import hashlib
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response

from rota.api.http.access import WritesRuns, WritesTasks
from rota.api.http.audit_entries import logged
from rota.api.http.responses import IdempotencyKey, fingerprint, idempotency_key, send
from rota.api.http.routing import router
from rota.api.http.services import (
    Served,
    Services,
    Traceparent,
)
from rota.api.problems.problem import describe
from rota.api.tasks.bulk.models import (
    BulkIn,
    BulkOut,
    BulkPauseIn,
    BulkResumeIn,
    SelectedIn,
)
from rota.api.tasks.bulk.tally import Tally, parse_batch, render_batch
from rota.db.command import Command, Transaction
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.quotas import Counted, quota_of
from rota.domain.audit.actions import Action, Kind
from rota.store.audit.audited import Made
from rota.store.audit.registrations import AuditedChange
from rota.store.audit.subjects import Tasks
from rota.store.idempotency import Once
from rota.store.tasks.bulk import Batch, DoEach
from rota.store.tasks.bulk_runs import RunEach
from rota.store.tasks.bulk_verbs import (
    ResumeEach,
    Verb,
    cancel_each,
    delete_each,
    pause_each,
)

routes: APIRouter = router("/v1/tasks", "bulk")


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
    services: Services, action: Action, verb: Verb, body: SelectedIn, limit: NameLimit
) -> Response:
    tally = Tally()
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
    tally, replayed = Tally(), True
    digest = await fingerprint(request)
    verb = RunEach(traceparent, quota_of(caller, Counted.UNFINISHED_RUNS))
    async for command in tally.commands(services, verb, body, caller.tasks):
        once = Once(
            key=key if not tally.batches else _further_key(key, tally.batches),
            principal=caller.idempotency_scope,
            fingerprint=digest,
            command=_logged(Action.RUN_REQUESTED, command),
            render=render_batch,
        )
        stored, was_stored = await services.writer.run(once)
        replayed &= was_stored
        tally.add(parse_batch(stored))
    return send(tally.reply(), replayed=replayed)


def _further_key(key: str, number: int) -> str:
    """Return the key of a further write; it has a space, so that it differs from all keys of clients."""
    return f"{hashlib.sha256(key.encode()).hexdigest()} {number}"
