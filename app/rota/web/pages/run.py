"""A run: its attempts, its log, and what it returned."""

import asyncio
from typing import Final

from starlette.responses import Response

from rota.web.page import Page, Views, see_other

_LOG_LINES: Final = 200
_VERBS: Final = frozenset({"rerun", "cancel"})


async def show(page: Page) -> Response:
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


VIEWS: Final[Views] = {
    ("GET", "/ui/runs/{id}"): show,
    ("POST", "/ui/runs/{id}/{verb}"): act,
}
