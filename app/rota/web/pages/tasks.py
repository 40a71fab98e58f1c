"""The list of tasks."""

import asyncio
from typing import Final

from starlette.responses import Response

from rota.web.page import Page, Views

_PER_PAGE: Final = 50
_SPARK_RUNS: Final = 30
_FILTERS: Final = ("status", "tag", "name_prefix", "handler", "queue")


async def show(page: Page) -> Response:
    """Show the tasks that fit the filters in the URL, each with its latest runs."""
    wanted = {name: page.parameters.get(name) for name in _FILTERS}
    found = await page.api.get(
        "tasks", **wanted, limit=_PER_PAGE, cursor=page.parameters.get("cursor")
    )
    runs = await asyncio.gather(
        *(
            page.api.find("tasks", each["name"], "runs", limit=_SPARK_RUNS)
            for each in found["items"]
        )
    )
    rows = [
        {"task": each, "runs": latest["items"] if latest else []}
        for each, latest in zip(found["items"], runs, strict=True)
    ]
    return page.show("tasks.html", rows=rows, following=found["next_cursor"])


VIEWS: Final[Views] = {("GET", "/ui/tasks"): show}
