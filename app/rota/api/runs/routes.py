"""Runs: list, read, wait for, cancel and run again."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from rota.api.http.access import ReadsRuns, WritesRuns
from rota.api.http.audit_entries import of_run
from rota.api.http.pagination import Cursor, Limit, decode_cursor, foreign_cursor, paginate, split
from rota.api.http.requested_times import GivenTime, span_of, task_of
from rota.api.http.responses import IdempotencyKey, commit, reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services, Traceparent
from rota.api.http.validation import checked_filter, invalid_parameter
from rota.api.problems.problem import describe
from rota.api.runs.response_models import RunOut, RunsOut
from rota.api.runs.views import run_accepted, show_run, show_run_with_attempts
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import Principal
from rota.domain.access.quotas import Counted
from rota.domain.audit.actions import Action
from rota.domain.primitives.ids import GivenId, Id, to_id
from rota.domain.primitives.instants import format_instant, parse_instant
from rota.domain.primitives.names import Name
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import Task
from rota.store.access.quotas import within
from rota.store.idempotency import Reply
from rota.store.runs.filters import RunFilter
from rota.store.runs.reading import find_run, is_final, list_attempts, list_runs
from rota.store.task_rows import find_task
from rota.store.tasks.run_commands import CancelRun, Rerun

routes: APIRouter = router("/v1/runs", "runs")
of_task: APIRouter = router("/v1/tasks", "runs")

LONGEST_WAIT = 60
# Commits of other processes wake no waiter here, so it polls this often.
_POLL_EVERY = 1.0

Filter = Annotated[list[str] | None, Query()]
AllTags = Annotated[
    list[str] | None,
    Query(
        description="Of tasks that have each of these tags (`tag`: at least one of them).",
        examples=[["billing,eu"]],
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filters:
    """The filters that both lists have."""

    status: tuple[str, ...]
    reason: tuple[str, ...]
    error: tuple[str, ...]
    trigger: tuple[str, ...]
    backfill_id: tuple[Id, ...]
    scheduled_from: str | None
    scheduled_to: str | None
    finished_from: str | None
    finished_to: str | None

    @property
    def has_times(self) -> bool:
        """Whether there is a time, which may be in the time zone of a task."""
        return any((self.scheduled_from, self.scheduled_to, self.finished_from, self.finished_to))

    def filter(
        self,
        names: tuple[str, ...],
        tags: tuple[str, ...],
        all_tags: tuple[str, ...],
        clock_of: Task | None,
        limit: NameLimit,
    ) -> RunFilter:
        """Return the filter for runs of these tasks; times without an offset are those of the clock of one task.

        `limit`: the tasks that the client may see.
        """
        first, last = span_of(self.scheduled_from, self.scheduled_to, clock_of)
        begin, end = span_of(self.finished_from, self.finished_to, clock_of, "finished")
        return RunFilter(
            task=names,
            tag=tags,
            all_tags=all_tags,
            status=self.status,
            reason=self.reason,
            error=self.error,
            trigger=self.trigger,
            backfill_id=self.backfill_id,
            scheduled_from=first,
            scheduled_to=last,
            finished_from=begin,
            finished_to=end,
            limit=limit,
        )


async def _filters(
    status: Filter = None,
    reason: Filter = None,
    error: Annotated[
        list[str] | None,
        Query(description="Types of errors (`error.type`), exactly.", examples=[["http.status"]]),
    ] = None,
    trigger: Filter = None,
    backfill_id: Filter = None,
    scheduled_from: GivenTime = None,
    scheduled_to: GivenTime = None,
    finished_from: GivenTime = None,
    finished_to: GivenTime = None,
) -> _Filters:
    return _Filters(
        status=checked_filter("status", split(status), RunStatus),
        reason=split(reason),
        error=split(error),
        trigger=checked_filter("trigger", split(trigger), Trigger),
        backfill_id=_ids(split(backfill_id)),
        scheduled_from=scheduled_from,
        scheduled_to=scheduled_to,
        finished_from=finished_from,
        finished_to=finished_to,
    )


Filters = Annotated[_Filters, Depends(_filters)]


@routes.get("", response_model=RunsOut, responses=describe())
def list_all(
    services: Served,
    caller: ReadsRuns,
    filters: Filters,
    limit: Limit = 50,
    cursor: Cursor = None,
    task: Filter = None,
    tag: Filter = None,
    all_tags: AllTags = None,
) -> Response:
    """List runs, newest `scheduled_for` first. Values of one filter are OR-ed, filters are AND-ed.

    A date or a local time is in the time zone of the task, if `task` gives one.
    """
    names = split(task)
    clock_of = task_of(services, names, caller.tasks) if filters.has_times else None
    wanted = filters.filter(names, split(tag), split(all_tags), clock_of, caller.tasks)
    return _page(services, wanted, cursor, limit)


@of_task.get("/{name}/runs", response_model=RunsOut, responses=describe(404))
def list_of_task(
    services: Served,
    caller: ReadsRuns,
    filters: Filters,
    name: Name,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the runs of a task, newest `scheduled_for` first."""
    with services.database.read() as connection:
        task = find_task(connection, name)
    return _page(services, filters.filter((name,), (), (), task, caller.tasks), cursor, limit)


@routes.get("/{id}", response_model=RunOut, responses=describe(404))
async def read(
    services: Served,
    caller: ReadsRuns,
    id: GivenId,
    wait: Annotated[
        float,
        Query(
            ge=0,
            le=LONGEST_WAIT,
            description="Seconds to wait for the run to be final. A request that waits counts towards "
            "ROTA_MAX_STREAMS.",
        ),
    ] = 0,
) -> Response:
    """Read a run with its attempts; with `wait`, when it is final or the time is up."""
    if wait:
        await _until_final(services, id, caller.tasks, wait)
    return send(await run_in_threadpool(_shown, services, id, caller.tasks))


@routes.post(
    "/{id}/cancel",
    status_code=202,
    response_model=RunOut,
    responses=describe("not-found", "wrong-status"),
)
async def cancel(services: Served, caller: WritesRuns, id: GivenId) -> Response:
    """Cancel a waiting run at once; request a running one to end (if it finishes first, its outcome counts)."""
    await _check_run(services, caller, id)
    run = await services.writer.run(of_run(Action.RUN_CANCELLED, CancelRun(id)))
    # Not among the reads of the key, which may be refused: the run is cancelled.
    return send(run_accepted(run, await services.reader.run(list_attempts, run)))


@routes.post(
    "/{id}/rerun",
    status_code=202,
    response_model=RunOut,
    responses=describe("not-found", "wrong-status", "overlap", "quota-exceeded", "sealed"),
)
async def rerun(
    request: Request,
    services: Served,
    caller: WritesRuns,
    id: GivenId,
    traceparent: Traceparent,
    _key: IdempotencyKey = None,
) -> Response:
    """Run a finished run again: a new run with the same input and `scheduled_for`."""
    await _check_run(services, caller, id)
    logged = of_run(Action.RUN_REPEATED, Rerun(id, traceparent))
    command = within(caller, Counted.UNFINISHED_RUNS, logged, adds=1)
    return await commit(request, services, command, run_accepted)


async def _check_run(services: Services, caller: Principal, id: Id) -> None:
    """Raise NotFound for a run of a task that the client may not see. A run keeps its task, and a task its name."""
    if not caller.tasks.is_unlimited:
        await run_in_threadpool(_is_final, services, id, caller.tasks)


def _page(services: Services, wanted: RunFilter, cursor: str | None, limit: int) -> Response:
    after = _position(decode_cursor(cursor, 2))
    with services.database.read() as connection:
        found = list_runs(connection, wanted, after, limit + 1)
    page, following = paginate(found, limit, _position_of, _size)
    items = [show_run(run) for run in page]
    return send(reply(200, RunsOut(items=items, next_cursor=following)))


def _size(run: Run) -> int:
    return sum(
        len(text)
        for name, text in (("input", run.input), ("result", run.result or ""))
        if name not in run.left_out
    )


def _shown(services: Services, id: Id, limit: NameLimit) -> Reply:
    with services.database.read() as connection:
        run = find_run(connection, id, limit)
        return reply(200, show_run_with_attempts(run, list_attempts(connection, run)))


async def _until_final(services: Services, id: Id, limit: NameLimit, wait: float) -> None:
    """Wait up to `wait` seconds for a run to be final; raises Unavailable if too many streams and waits are open."""
    ends_at = services.clock.monotonic() + wait
    if await run_in_threadpool(_is_final, services, id, limit):
        return
    with services.streams.slot(), services.waiters.waiting(id) as ended:
        while not services.streams.closing and not await run_in_threadpool(
            _is_final, services, id, limit
        ):
            left = ends_at - services.clock.monotonic()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(min(left, _POLL_EVERY)):
                    await ended.wait()
            except TimeoutError:
                continue


def _is_final(services: Services, id: Id, limit: NameLimit) -> bool:
    with services.database.read() as connection:
        return is_final(connection, id, limit)


def _ids(given: tuple[str, ...]) -> tuple[Id, ...]:
    try:
        return tuple(to_id(each) for each in given)
    except ValueError:
        raise invalid_parameter("backfill_id", "this is not an id") from None


def _position_of(run: Run) -> list[str]:
    return [format_instant(run.scheduled_for), str(run.id)]


def _position(position: list[str] | None) -> tuple[datetime, Id] | None:
    if position is None:
        return None
    try:
        return parse_instant(position[0]), to_id(position[1])
    except ValueError:
        raise foreign_cursor() from None
