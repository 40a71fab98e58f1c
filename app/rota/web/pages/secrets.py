"""Secrets: their names and what they are bound to; never their values, which the API does not return either."""

from typing import Final

from starlette.responses import Response

from rota.web.page import Page, Views

_PER_PAGE: Final = 50


async def show(page: Page) -> Response:
    """Show the secrets without their values."""
    found = await page.api.get("secrets", limit=_PER_PAGE, cursor=page.parameters.get("cursor"))
    return page.show(
        "access/secrets.html", secrets=found["items"], following_cursor=found["next_cursor"]
    )


VIEWS: Final[Views] = {("GET", "/ui/secrets"): show}
