"""A status page: the states of the tasks with a tag that make their badges public, for everybody."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rota.web.page import Page, Views

#: States of which somebody should know, with their marks and tones.
_SHOWN: Final[Mapping[str, tuple[str, str]]] = {
    "passing": ("✓", "good"),
    "failing": ("✕", "bad"),
    "late": ("◷", "wait"),
    "held": ("‖", "wait"),
    "paused": ("‖", "mute"),
    "cancelled": ("—", "mute"),
    "no runs": ("—", "mute"),
}
_TROUBLED: Final = ("failing", "late")


async def show(page: Page) -> Response:
    """Show the states. Whoever is signed in sees what everybody does."""
    found = await page.api.without_session().get("status", tag=page.part("tag"))
    return page.show("status.html", **_shown(found))


def _shown(found: Mapping[str, Any]) -> dict[str, Any]:
    rows = [(each["task"], each["state"], *_SHOWN[each["state"]]) for each in found["items"]]
    rows.sort(key=lambda row: (row[1] not in _TROUBLED, row[0]))
    counts = Counter(each["state"] for each in found["items"])
    return {
        "tag": found["tag"],
        "rows": rows,
        "is_complete": found["is_complete"],
        "troubled": [(state, counts[state]) for state in _TROUBLED if counts[state]],
    }


#: Pages that need no session, nor a key.
VIEWS: Final[Views] = {("GET", "/ui/status/{tag:path}"): show}
