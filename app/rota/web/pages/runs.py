"""Runs: the one list of them, and one with its attempts, its log and what it returned."""

import asyncio
from typing import Final

from starlette.responses import Response

from rota.web.page import Page, see_other

_PER_PAGE: Final = 50
_LOG_LINES: Final = 200
_FILTERS: Final = (
    "task",
    "status",
    "reason",
    "trigger",
    "tag",
    "error",
    "scheduled_from",
    "scheduled_to",
    "finished_from",
    "finished_to",
)
_VERBS: Final = frozenset({"rerun", "cancel"})


async def show_list(page: Page) -> Response:
    """Show the runs that fit the filters in the URL, the newest first."""
    wanted = {name: page.parameters.get(name) for name in _FILTERS}
    found = await page.api.get(
        "runs", **wanted, limit=_PER_PAGE, cursor=page.parameters.get("cursor")
    )
    return page.show("runs.html", runs=found["items"], following=found["next_cursor"])


async def show_one(page: Page) -> Response:
    """Show a run."""
    id = page.part("id")
    run, log = await asyncio.gather(
        page.api.get("runs", id), page.api.find("runs", id, "logs", limit=_LOG_LINES)
    )
    return page.show("run.html", run=run, log=log["items"] if log else [])


async def act(page: Page) -> Response:
    """Run it again, or cancel it, and show the run that this is about."""
    id, verb = page.part("id"), page.part("verb")
    if verb not in _VERBS:
        return page.show("problem.html", status=404, code=404, detail="There is no such action.")
    run = await page.api.post("runs", id, verb)
    return see_other(page.url_of("runs", run["id"]))
