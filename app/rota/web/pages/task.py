"""A task: why it does or does not run, when it fires, what it did, and what it keeps."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rota.web.page import Page, Views, see_other

_UPCOMING: Final = 5
_LATEST: Final = 50
_VERBS: Final = frozenset({"pause", "resume", "run", "cancel"})


async def show(page: Page) -> Response:
    """Show a task: why it does or does not run, when it fires next, what it did, and what it keeps."""
    name = page.part("name")
    task = await page.api.get("tasks", name)
    explained, preview, upcoming, runs, entries = await asyncio.gather(
        page.api.find("tasks", name, "explain"),
        page.api.post("schedules", "preview", body={"schedule": task["schedule"], "count": 1}),
        page.api.find("tasks", name, "upcoming", count=_UPCOMING),
        page.api.find("tasks", name, "runs", limit=_LATEST),
        page.api.find("tasks", name, "kv", limit=_LATEST),
    )
    return page.show(
        "task.html",
        task=task,
        explained=explained,
        words=preview.get("description"),
        upcoming=_times(upcoming),
        runs=runs["items"] if runs else [],
        entries=entries["items"] if entries else None,
    )


async def act(page: Page) -> Response:
    """Pause, resume, run or cancel a task, and show it again."""
    name, verb = page.part("name"), page.part("verb")
    if verb not in _VERBS:
        return page.show("problem.html", status=404, code=404, detail="There is no such action.")
    given = await page.form()
    await page.api.post("tasks", name, verb, body=_body(verb, given))
    return see_other(page.url_of("tasks", name))


def _body(verb: str, given: Mapping[str, str]) -> dict[str, Any] | None:
    if verb == "pause" and given.get("reason"):
        return {"reason": given["reason"]}
    return None


def _times(upcoming: Any) -> list[Any]:
    return list(upcoming["items"]) if upcoming else []


VIEWS: Final[Views] = {
    ("GET", "/ui/tasks/{name}"): show,
    ("POST", "/ui/tasks/{name}/{verb}"): act,
}
