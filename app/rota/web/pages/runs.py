"""Runs: the one list of them in the product; every filter is in its URL."""

from typing import Final

from starlette.responses import Response

from rota.web.page import Page, Views

_PER_PAGE: Final = 50
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


async def show(page: Page) -> Response:
    """Show the runs that fit the filters in the URL, the newest first."""
    wanted = {name: page.parameters.get(name) for name in _FILTERS}
    found = await page.api.get(
        "runs", **wanted, limit=_PER_PAGE, cursor=page.parameters.get("cursor")
    )
    return page.show("runs.html", runs=found["items"], following=found["next_cursor"])


VIEWS: Final[Views] = {("GET", "/ui/runs"): show}
