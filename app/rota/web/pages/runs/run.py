"""A run: where it waits, its attempts with their errors and logs, what it returned and what it changed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from rota.web.api_client import ApiProblemError
from rota.web.charts.of_lineage import Lineage, graph
from rota.web.charts.of_run import MOST_DRAWN, Span, begin_of, chart, end_of, phase_bar, spans_of
from rota.web.entries.diffs import diff_of
from rota.web.page import Page, Views, see_other

_LOG_LINES: Final = 200
_MOST_CHANGES: Final = 50
#: Runs around it that are drawn and listed: the nearest ones. The list of its chain has all.
_MOST_AROUND: Final = 40


async def show(page: Page) -> Response:
    """Show a run."""
    id, now = page.part("id"), page.services.clock.now()
    first_line = page.parameters.get("lines")
    run, log, changes = await asyncio.gather(
        page.api.get("runs", id),
        page.api.find("runs", id, "logs", limit=_LOG_LINES, cursor=first_line),
        _or_none(page, "runs", id, "kv", limit=_MOST_CHANGES),
    )
    explained, lineage = await asyncio.gather(_explained(page, run), _lineage(page, run))
    around = lineage.around(run["id"], _MOST_AROUND)
    spans = spans_of(run, now)
    lines = _log(run, log, is_first=first_line is None)
    return page.show(
        "runs/run.html",
        run=run,
        explained=explained,
        drawn=spans[-MOST_DRAWN:],
        earlier=len(spans[:-MOST_DRAWN]),
        detailed=_detailed(spans, lines["log"]),
        chart=chart(run, spans, now),
        begin=begin_of(run).isoformat(),
        whole=(end_of(run, now) - begin_of(run)).total_seconds(),
        phase_bar=phase_bar,
        **lines,
        changes=[diff_of(each) for each in changes["items"]] if changes else [],
        more_changes=bool(changes and changes["next_cursor"]),
        around=around,
        graph=graph(around, run["id"]),
        more_around=len(around.runs) < len(lineage.runs),
    )


async def cancel(page: Page) -> Response:
    """Cancel it, and show it."""
    run = await page.api.post("runs", page.part("id"), "cancel")
    return see_other(page.url_of("runs", run["id"]))


def _detailed(spans: Sequence[Span], log: Mapping[int, Any]) -> list[Span]:
    """Return the attempts that are shown with their errors and logs: the latest, and those whose lines are here."""
    latest = len(spans) - MOST_DRAWN
    return [
        each
        for index, each in enumerate(spans)
        if index >= latest or each.attempt["attempt"] in log
    ]


def _log(
    run: Mapping[str, Any], log: Mapping[str, Any] | None, *, is_first: bool
) -> dict[str, Any]:
    """Return the lines by attempt, and after which line the script goes on; None: it does not."""
    lines = log["items"] if log else []
    by_attempt: dict[int, list[Mapping[str, Any]]] = {}
    for line in lines:
        by_attempt.setdefault(line["attempt"], []).append(line)
    following = log["next_cursor"] if log else None
    goes_on = log is not None and is_first and (run["finished_at"] is None or following)
    last = f"{lines[-1]['attempt']}.{lines[-1]['line']}" if lines else "0.0"
    return {"log": by_attempt, "more_lines": following, "follow_from": last if goes_on else None}


async def _explained(page: Page, run: Mapping[str, Any]) -> str | None:
    """Return where an unfinished run waits, or why one was skipped, if the explanation of its task is about it."""
    if run["finished_at"] is not None and run["status"] != "skipped":
        return None
    for at in (None, run["scheduled_for"]):
        found = await _or_none(page, "tasks", run["task"], "explain", at=at)
        if found and found["run"] and found["run"]["id"] == run["id"]:
            return str(found["message"])
    return None


async def _lineage(page: Page, run: Mapping[str, Any]) -> Lineage:
    """Return the runs that are linked with it, itself among them. Nothing if it is alone."""
    if not run["fed_by"] and not run["fed"]:
        return Lineage([], [])
    found = await _or_none(page, "runs", run["id"], "lineage")
    return Lineage(found["runs"], found["links"]) if found else Lineage([], [])


async def _or_none(page: Page, *path: str, **parameters: Any) -> Any:
    """Return what a part of the page is made of; None without it: the others are shown all the same."""
    try:
        return await page.api.get(*path, **parameters)
    except ApiProblemError as error:
        if error.status == 401:
            raise
        return None


VIEWS: Final[Views] = {
    ("GET", "/ui/runs/{id}"): show,
    ("POST", "/ui/runs/{id}/cancel"): cancel,
}
