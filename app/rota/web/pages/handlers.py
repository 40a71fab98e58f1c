"""Handlers: what tasks can run, and with which inputs."""

from typing import Final

from starlette.responses import Response

from rota.web.page import Page, Views

_PER_PAGE: Final = 50


async def show(page: Page) -> Response:
    """Show the handlers with their input schemas."""
    found = await page.api.get("handlers", limit=_PER_PAGE, cursor=page.parameters.get("cursor"))
    return page.show(
        "around/handlers.html", handlers=found["items"], following_cursor=found["next_cursor"]
    )


VIEWS: Final[Views] = {("GET", "/ui/handlers"): show}
