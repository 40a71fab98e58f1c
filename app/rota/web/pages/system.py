"""The service itself: whether it is ready, its replicas, and who is signed in here."""

import asyncio
from typing import Final

from starlette.responses import Response

from rota.web.page import Page, Views


async def show(page: Page) -> Response:
    """Show what `/readyz` says, the replicas, and the key of the session."""
    ready, replicas, own = await asyncio.gather(
        page.api.readiness(), page.api.find("replicas"), page.api.get("keys", "self")
    )
    return page.show(
        "around/system.html",
        is_ready=ready.get("status") == "ok",
        detail=ready.get("detail"),
        firing_pass_age=ready.get("firing_pass_age"),
        tzdata=ready.get("tzdata"),
        warnings=ready.get("warnings") or [],
        replicas=replicas["items"] if replicas else None,
        own=own,
        session=page.session,
    )


VIEWS: Final[Views] = {("GET", "/ui/system"): show}
