"""Lists of runs, and their filters."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, NamedTuple, Protocol

from fastapi import APIRouter, Depends, Query, Response

from rota.api.http.access import ReadsRuns
from rota.api.http.pagination import (
    Cursor,
    Limit,
    WithTotal,
    decode_cursor,
    foreign_cursor,
    paginate,
    show_total,
    split,
    split_all_tags,
)
from rota.api.http.requested_times import GivenTime, span_of, task_of
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.validation import checked_filter, invalid_parameter
from rota.api.problems.problem import describe
from rota.api.runs.response_models import RunsOut
from rota.api.runs.views import show_run
from rota.domain.access.names import NameLimit
from rota.domain.primitives.ids import Id, to_id
from rota.domain.primitives.texts.names import Name
from rota.domain.primitives.times.instants import format_instant, parse_instant
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.task import Task
from rota.store.runs.listing.filters import RunFilter
from rota.store.runs.reading import count_runs, list_runs
from rota.store.task_rows import find_task

routes: APIRouter = router("/v1/runs", "runs")
of_task: APIRouter = router("/v1/tasks", "runs")

Filter = Annotated[list[str] | None, Query()]
AllTags = Annotated[
    list[str] | None,
    Query(
        description="Of tasks that have each of these tags (`tag`: at least one of them).",
        examples=[["billing,eu"]],
    ),
]


class WantedTasks(Protocol):
    """Tasks by their names and tags."""

    @property
    def task(self) -> tuple[str, ...]: ...
    @property
    def tag(self) -> tuple[str, ...]: ...
    @property
    def all_tags(self) -> tuple[str, ...]: ...


class GivenTasks(NamedTuple):
    """The tasks whose runs are wanted."""

    task: tuple[str, ...]
    tag: tuple[str, ...]
    all_tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFilters:
    """The filters that both lists have."""

    status: tuple[str, ...]
    reason: tuple[str, ...]
    error: tuple[str, ...]
    error_text: str | None
    trigger: tuple[str, ...]
    backfill_id: tuple[Id, ...]
    chain_id: tuple[Id, ...]
    scheduled_from: str | None
    scheduled_to: str | None
    finished_from: str | None
    finished_to: str | None

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
            error_text=self.error_text,
            trigger=self.trigger,
            backfill_id=self.backfill_id,
            chain_id=self.chain_id,
            scheduled_from=first,
            scheduled_to=last,
            finished_from=begin,
            finished_to=end,
            limit=limit,
        )

    def of_tasks(self, services: Services, limit: NameLimit, tasks: WantedTasks) -> RunFilter:
        """Return the filter for runs of tasks that are given by name and tags; reads the task, if it is one."""
        times = (self.scheduled_from, self.scheduled_to, self.finished_from, self.finished_to)
        clock_of = task_of(services, tasks.task, limit) if any(times) else None
        return self.filter(tasks.task, tasks.tag, tasks.all_tags, clock_of, limit)


async def _filters(
    status: Filter = None,
    reason: Filter = None,
    error: Annotated[
        list[str] | None,
        Query(description="Types of errors (`error.type`), exactly.", examples=[["http.status"]]),
    ] = None,
    error_text: Annotated[
        str | None,
        Query(
            description="Runs whose error contains this text; upper and lower case are the same.",
            examples=["connection refused"],
            max_length=200,
        ),
    ] = None,
    trigger: Filter = None,
    backfill_id: Filter = None,
    chain_id: Annotated[
        list[str] | None,
        Query(
            description="Runs of these chains: the first run of each, and what followed from it."
        ),
    ] = None,
    scheduled_from: GivenTime = None,
    scheduled_to: GivenTime = None,
    finished_from: GivenTime = None,
    finished_to: GivenTime = None,
) -> GivenFilters:
    return GivenFilters(
        status=checked_filter("status", split(status), RunStatus),
        reason=split(reason),
        error=split(error),
        error_text=error_text,
        trigger=checked_filter("trigger", split(trigger), Trigger),
        backfill_id=_ids("backfill_id", split(backfill_id)),
        chain_id=_ids("chain_id", split(chain_id)),
        scheduled_from=scheduled_from,
        scheduled_to=scheduled_to,
        finished_from=finished_from,
        finished_to=finished_to,
    )


Filters = Annotated[GivenFilters, Depends(_filters)]


@routes.get("", response_model=RunsOut, responses=describe())
def list_all(
    services: Served,
    caller: ReadsRuns,
    filters: Filters,
    limit: Limit = 50,
    cursor: Cursor = None,
    total: WithTotal = False,  # noqa: FBT002  # a parameter of the query
    task: Filter = None,
    tag: Filter = None,
    all_tags: AllTags = None,
) -> Response:
    """List runs, newest `scheduled_for` first. Values of one filter are OR-ed, filters are AND-ed.

    A date or a local time is in the time zone of the task, if `task` gives one.
    """
    tasks = GivenTasks(split(task), split(tag), split_all_tags(all_tags))
    wanted = filters.of_tasks(services, caller.tasks, tasks)
    return _page(services, wanted, cursor, limit, total=total)


@of_task.get("/{name}/runs", response_model=RunsOut, responses=describe(404))
def list_of_task(
    services: Served,
    caller: ReadsRuns,
    filters: Filters,
    name: Name,
    limit: Limit = 50,
    cursor: Cursor = None,
    total: WithTotal = False,  # noqa: FBT002  # a parameter of the query
) -> Response:
    """List the runs of a task, newest `scheduled_for` first."""
    with services.database.read() as connection:
        task = find_task(connection, name)
    wanted = filters.filter((name,), (), (), task, caller.tasks)
    return _page(services, wanted, cursor, limit, total=total)


def _page(
    services: Services, wanted: RunFilter, cursor: str | None, limit: int, *, total: bool
) -> Response:
    after = _position(decode_cursor(cursor, 2))
    with services.database.read() as connection:
        found = list_runs(connection, wanted, after, limit + 1)
        counted = show_total(count_runs(connection, wanted)) if total else {}
    page, following = paginate(found, limit, _position_of, _size)
    items = [show_run(run) for run in page]
    return send(reply(200, {"items": items, "next_cursor": following, **counted}))


def _size(run: Run) -> int:
    return sum(
        len(text)
        for name, text in (("input", run.input), ("result", run.result or ""))
        if name not in run.left_out
    )


def _ids(name: str, given: tuple[str, ...]) -> tuple[Id, ...]:
    try:
        return tuple(to_id(each) for each in given)
    except ValueError:
        raise invalid_parameter(name, "this is not an id") from None


def _position_of(run: Run) -> list[str]:
    return [format_instant(run.scheduled_for), str(run.id)]


def _position(position: list[str] | None) -> tuple[datetime, Id] | None:
    if position is None:
        return None
    try:
        return parse_instant(position[0]), to_id(position[1])
    except ValueError:
        raise foreign_cursor() from None
