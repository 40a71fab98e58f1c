"""The first page: the last hour and the next, and what is wrong."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from starlette.responses import Response

from rota.domain.primitives.times.instants import format_instant
from rota.web.charts.around_now import lines_of, timeline
from rota.web.page import Page, Views

_AROUND: Final = timedelta(hours=1)
_MOST_RUNS: Final = 100
_MOST_WAITING: Final = 50
_MOST_COMING: Final = 300
_MOST_ROWS: Final = 12
#: What a run waits for that somebody may have to look at, by the beginning of `waiting_on`.
_CAUSES: Final = {
    "circuit": "circuit open",
    "host": "host slowed",
    "handler": "no handler",
    "constraint": "constraint",
}

Row = Mapping[str, Any]


async def show(page: Page) -> Response:
    """Show the last hour, the next one, and what needs somebody."""
    now = page.services.clock.now()
    start, end = now - _AROUND, now + _AROUND
    since = format_instant(start)
    (
        first,
        failing,
        paused,
        alerts,
        queues,
        holds,
        runs,
        failed,
        blocked,
        delayed,
        coming,
    ) = await asyncio.gather(
        page.api.find("tasks", limit=1),
        page.api.find("tasks", failing="true", limit=_MOST_ROWS),
        page.api.find("tasks", status="paused", limit=_MOST_ROWS),
        page.api.find("alerts", limit=_MOST_ROWS),
        page.api.find("queues"),
        page.api.find("holds"),
        page.api.find("runs", scheduled_from=since, limit=_MOST_RUNS),
        page.api.find("runs", status="failed", scheduled_from=since, limit=_MOST_RUNS),
        page.api.find("runs", status="blocked", limit=_MOST_WAITING),
        page.api.find("runs", status="queued", limit=_MOST_WAITING),
        page.api.find("upcoming", until=format_instant(end), limit=_MOST_COMING),
    )
    latest = _items(runs)
    last_failures = await _last_failures(page, _items(failing), [*latest, *_items(failed)])
    lines, beyond = lines_of([*latest, *_earlier(_items(failed), latest)], _items(coming))
    wrong = {
        "failing": [(each, last_failures.get(each["name"])) for each in _items(failing)],
        "alerts": _items(alerts),
        "holds": [each for each in _items(holds) if each["status"] == "active"],
        "paused": _items(paused),
        "queues": [each for each in map(_troubled, _items(queues)) if each],
        "waits": _waits([*_items(blocked), *_items(delayed)]),
    }
    more = any(each and each["next_cursor"] for each in (blocked, delayed))
    return page.show(
        "now.html",
        strip=timeline(lines, start, now, end),
        lines=lines,
        beyond=beyond,
        cut_at=_cut_at(coming),
        runs_since=latest[-1]["scheduled_for"] if runs and runs["next_cursor"] else None,
        runs=latest,
        wrong=wrong,
        is_fine=not any(wrong.values()),
        sees_all=None not in (failing, paused, alerts, queues, holds, blocked, delayed),
        more_wait=more,
        more_failing=bool(failing and failing["next_cursor"]),
        more_paused=bool(paused and paused["next_cursor"]),
        may_read=first is not None,
        has_tasks=bool(_items(first)),
    )


def _items(page: Row | None) -> Sequence[Any]:
    return page["items"] if page else ()


def _earlier(failed: Sequence[Row], latest: Sequence[Row]) -> Sequence[Row]:
    """Return the failed runs that the latest runs do not have, since tasks that fire often fill these."""
    listed = {each["id"] for each in latest}
    return [each for each in failed if each["id"] not in listed]


async def _last_failures(
    page: Page, failing: Sequence[Row], runs: Sequence[Row]
) -> Mapping[str, Row]:
    """Return the last failed run of tasks that fail: one of these runs, or else their last run."""
    names = {each["name"] for each in failing}
    failed = [each for each in runs if each["status"] == "failed" and each["task"] in names]
    found = {each["task"]: each for each in sorted(failed, key=lambda run: str(run["finished_at"]))}
    others = [each["last_run"] for each in failing if each["name"] not in found]
    ids = [each["id"] for each in others if each and each["status"] == "failed"]
    older = await asyncio.gather(*(page.api.find("runs", each) for each in ids))
    return found | {each["task"]: each for each in older if each}


def _cut_at(coming: Row | None) -> str | None:
    """Return up to when the fire times to come are complete; None: they are."""
    if coming is None or coming["complete_until"] >= coming["until"]:
        return None
    return str(coming["complete_until"])


def _troubled(queue: Row) -> dict[str, Any] | None:
    """Return a queue that is paused, or full while runs wait for it; None of any other."""
    full = queue["concurrency"] is not None and queue["running"] >= queue["concurrency"]
    if queue["paused"]:
        return {"queue": queue, "state": "paused"}
    return {"queue": queue, "state": "full"} if full and queue["queued"] else None


def _waits(runs: Sequence[Row]) -> list[dict[str, Any]]:
    """Return what runs wait for that somebody may have to look at, with their tasks."""
    waits: dict[str, dict[str, Any]] = {}
    for run in runs:
        for cause in run["waiting_on"] or ():
            kind, _, of = cause.partition(":")
            if kind in _CAUSES:
                wait = waits.setdefault(
                    cause, {"says": _CAUSES[kind], "of": of, "runs": 0, "tasks": []}
                )
                wait["runs"] += 1
                if run["task"] not in wait["tasks"]:
                    wait["tasks"].append(run["task"])
    return list(waits.values())


VIEWS: Final[Views] = {("GET", "/ui"): show}
