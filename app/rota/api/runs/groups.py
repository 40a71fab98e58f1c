"""GET /v1/runs/groups: which failures there were, those with the same error together."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Response
from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.access import ReadsRuns
from rota.api.http.formats import InstantText, show_instant
from rota.api.http.pagination import Limit, split, split_all_tags
from rota.api.http.responses import reply, send
from rota.api.http.routing import router
from rota.api.http.services import Served, Services
from rota.api.http.validation import checked_filter, invalid_parameter
from rota.api.problems.problem import describe
from rota.api.runs.lists import AllTags, Filter, Filters, GivenFilters
from rota.domain.access.principal import Principal
from rota.domain.primitives.times.durations import parse_duration
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.error_groups import MOST_TASKS, FailureGroup, GroupBy, grouped
from rota.store.runs.listing.failures import MOST_GROUPED, latest_failures

routes: APIRouter = router("/v1/runs", "runs")

_RUN = "018bcfe5-6800-7000-8000-000000000001"
_DEFAULT_WINDOW = timedelta(days=1)


class TaskFailuresOut(TypedDict):
    """A task, and how many of its runs have failed so."""

    task: Annotated[str, Field(description="The task.", examples=["invoices"])]
    count: Annotated[int, Field(description="How many of its runs.", examples=[17])]


class FailureGroupOut(TypedDict):
    """Failures with something in common; what they are not grouped by is null."""

    type: Annotated[
        str | None, Field(description="The type of the error.", examples=["http.status"])
    ]
    message: Annotated[
        str | None,
        Field(
            description="Its message, with `<n>`, `<hex>` and `<id>` in place of numbers, hexadecimal "
            "digits and UUIDs; of a call over HTTP with its status and host.",
            examples=["503 from app.example.com"],
        ),
    ]
    task: Annotated[str | None, Field(description="The task.", examples=[None])]
    reason: Annotated[str | None, Field(description="The reason.", examples=[None])]
    count: Annotated[int, Field(description="How many runs have failed so.", examples=[42])]
    first_seen: Annotated[InstantText, Field(description="When the first of them ended.")]
    last_seen: Annotated[InstantText, Field(description="When the latest of them ended.")]
    example: Annotated[str, Field(description="The latest run.", examples=[_RUN])]
    tasks: Annotated[
        list[TaskFailuresOut],
        Field(description=f"The tasks with most of these runs, {MOST_TASKS} at most."),
    ]
    tasks_total: Annotated[int, Field(description="How many tasks there are.", examples=[2])]


class FailureGroupsOut(TypedDict):
    """Groups of failures, the largest first."""

    items: Annotated[list[FailureGroupOut], Field(description="The largest groups.")]
    groups: Annotated[int, Field(description="How many groups there are.", examples=[3])]
    failures: Annotated[
        int, Field(description="How many failed runs are in all groups.", examples=[61])
    ]
    is_complete: Annotated[
        bool,
        Field(
            description=f"False: there are more failures; the latest {MOST_GROUPED:,} are grouped.",
            examples=[True],
        ),
    ]
    finished_from: Annotated[
        InstantText | None, Field(description="Since when they ended; null: any time.")
    ]


class _Wanted(NamedTuple):
    """What is grouped, and how."""

    filters: GivenFilters
    caller: Principal
    task: tuple[str, ...]
    tag: tuple[str, ...]
    all_tags: tuple[str, ...]
    window: timedelta | None
    by: tuple[GroupBy, ...]
    limit: int


@routes.get("/groups", response_model=FailureGroupsOut, responses=describe("unavailable"))
async def list_groups(
    services: Served,
    caller: ReadsRuns,
    filters: Filters,
    limit: Limit = 50,
    task: Filter = None,
    tag: Filter = None,
    all_tags: AllTags = None,
    by: Annotated[
        list[str] | None,
        Query(
            description="What the failures of a group have in common: `error` (type and message), `task`, `reason`. "
            "Default: `error`.",
            examples=[["error,task"]],
        ),
    ] = None,
    window: Annotated[
        str | None,
        Query(
            description="Only failures of this time until now, such as `24h` or `7d`. Default: `24h`, unless "
            "`finished_from` or `finished_to` is given.",
            examples=["7d"],
            max_length=40,
        ),
    ] = None,
) -> Response:
    """Group failed runs by their errors, the largest group first. The filters are those of the list of runs."""
    kinds = checked_filter("by", split(by), GroupBy) or (GroupBy.ERROR,)
    wanted = _Wanted(
        filters=filters,
        caller=caller,
        task=split(task),
        tag=split(tag),
        all_tags=split_all_tags(all_tags),
        window=_window(window, filters),
        by=tuple(map(GroupBy, kinds)),
        limit=limit,
    )
    return send(reply(200, await services.computing.run(_groups, services, wanted)))


def _window(given: str | None, filters: GivenFilters) -> timedelta | None:
    """Return the time until now that is wanted; None: the filters give another one."""
    bounded = filters.finished_from is not None or filters.finished_to is not None
    if given is None:
        return None if bounded else _DEFAULT_WINDOW
    if bounded:
        raise invalid_parameter("window", "give either this or finished_from and finished_to")
    try:
        return parse_duration(float(given) if given.isdecimal() else given)
    except ValueError as error:
        raise invalid_parameter("window", str(error)) from None


def _groups(services: Services, wanted: _Wanted) -> FailureGroupsOut:
    runs = wanted.filters.of_tasks(services, wanted.caller.tasks, wanted)
    if wanted.window is not None:
        runs = replace(runs, finished_from=services.clock.now() - wanted.window)
    with services.database.read() as connection:
        failures = latest_failures(connection, runs)
    groups = grouped(failures.found, wanted.by)
    return {
        "items": [_show(each) for each in groups[: wanted.limit]],
        "groups": len(groups),
        "failures": len(failures.found),
        "is_complete": failures.is_complete,
        "finished_from": show_instant(runs.finished_from),
    }


def _show(group: FailureGroup) -> FailureGroupOut:
    most = sorted(group.tasks.items(), key=lambda each: (-each[1], each[0]))[:MOST_TASKS]
    return {
        "type": group.key.type,
        "message": group.key.message,
        "task": group.key.task,
        "reason": group.key.reason,
        "count": group.count,
        "first_seen": format_instant(group.first_seen),
        "last_seen": format_instant(group.last_seen),
        "example": group.example,
        "tasks": [{"task": name, "count": count} for name, count in most],
        "tasks_total": len(group.tasks),
    }
