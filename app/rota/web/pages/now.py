"""The first page: the last hour and the next, and what is wrong."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from starlette.responses import Response

from rota.domain.primitives.instants import format_instant
from rota.web.charts import strip
from rota.web.page import Page, Views

_AROUND: Final = timedelta(hours=1)
_MOST_RUNS: Final = 200
_MOST_ROWS: Final = 12

Row = Mapping[str, Any]


async def show(page: Page) -> Response:
    """Show the last hour, the next one, and what needs somebody."""
    now = page.services.clock.now()
    start, end = now - _AROUND, now + _AROUND
    found, active, paused, alerts, queues, handlers = await asyncio.gather(
        page.api.find("runs", scheduled_from=format_instant(start), limit=_MOST_RUNS),
        page.api.find("tasks", status="active", limit=_MOST_RUNS),
        page.api.find("tasks", status="paused", limit=_MOST_ROWS),
        page.api.find("alerts", limit=_MOST_ROWS),
        page.api.find("queues"),
        page.api.find("handlers"),
    )
    runs = _items(found)
    tasks = _items(active)
    return page.show(
        "now.html",
        strip=strip(_by_task(runs), _due(tasks, format_instant(end)), start, now, end),
        names=_names(runs, tasks, format_instant(end)),
        runs=runs,
        failing=[each for each in tasks if each["consecutive_failures"]],
        paused=_items(paused),
        alerts=_items(alerts),
        queues=[each for each in _items(queues) if each["paused"] or each["blocked"]],
        missing=_missing(tasks, _items(handlers)),
        has_tasks=bool(tasks or _items(paused)),
    )


def _items(page: Row | None) -> Sequence[Any]:
    return page["items"] if page else ()


def _by_task(runs: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the runs by task: tasks with a failed run first, then the busiest; no more than fit."""
    by_task: dict[str, list[Row]] = defaultdict(list)
    for run in runs:
        by_task[run["task"]].append(run)
    ranked = sorted(by_task, key=lambda name: (_health(by_task[name]), -len(by_task[name]), name))
    return {name: by_task[name] for name in ranked[:_MOST_ROWS]}


def _health(runs: Sequence[Row]) -> int:
    statuses = {run["status"] for run in runs}
    return 0 if "failed" in statuses else 1 if statuses & {"blocked", "queued"} else 2


def _due(tasks: Sequence[Row], end: str) -> dict[str, list[str]]:
    """Return the next fire times within the hour by task."""
    soon = [each for each in tasks if each["next_fire_at"] and each["next_fire_at"] <= end]
    return {each["name"]: [each["next_fire_at"]] for each in soon[:_MOST_ROWS]}


def _names(runs: Sequence[Row], tasks: Sequence[Row], end: str) -> list[str]:
    return list(dict.fromkeys([*_by_task(runs), *_due(tasks, end)]))


def _missing(tasks: Sequence[Row], handlers: Sequence[Row]) -> list[str]:
    known = {each["name"] for each in handlers}
    return sorted({each["handler"] for each in tasks} - known)


VIEWS: Final[Views] = {("GET", "/ui"): show}
