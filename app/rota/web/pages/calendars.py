"""Calendars: their next days, and who uses them."""

from typing import Final

from starlette.responses import Response

from rota.web.page import Page, Views

_PER_PAGE: Final = 50


async def show(page: Page) -> Response:
    """Show the calendars with their next days."""
    found = await page.api.get("calendars", limit=_PER_PAGE, cursor=page.parameters.get("cursor"))
    return page.show(
        "around/calendars.html", calendars=found["items"], following_cursor=found["next_cursor"]
    )


async def show_one(page: Page) -> Response:
    """Show a calendar as it was declared."""
    calendar = await page.api.get("calendars", page.part("name"))
    return page.show("around/calendar.html", calendar=calendar)


VIEWS: Final[Views] = {
    ("GET", "/ui/calendars"): show,
    ("GET", "/ui/calendars/{name}"): show_one,
}
