"""Reverting a key-value table to an earlier moment: first what that would do, then a confirmation of it."""

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rota.web.api_client import ApiProblemError
from rota.web.page import Page, Views, see_other

_RUN: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_REVISION: Final = re.compile(r"\d{1,18}", re.ASCII)


async def preview(page: Page) -> Response:
    """Show a field for the moment, and what reverting to it would do."""
    page.rights.check("POST /v1/tasks/{name}/kv/revert")
    return await _preview(page, page.parameters.get("to", ""))


async def revert(page: Page) -> Response:
    """Revert the table, if it is still the one that the preview was of."""
    form = await page.form()
    moment = form.get("to", "").strip()
    try:
        would = await _revert(page, moment, dry_run=True)
        if str(would["previous_revision"]) != form.get("revision"):
            fault = "The table has changed meanwhile: look at it again. Nothing was done."
            return await _preview(page, moment, 409, fault)
        await _revert(page, moment, dry_run=False)
    except ApiProblemError as error:
        if error.status in {401, 403, 404}:
            raise
        return await _preview(page, moment, error.status, str(error))
    return see_other(page.url_of("tasks", page.part("name"), "kv"))


async def _preview(
    page: Page, moment: str, status: int = 200, fault: str | None = None
) -> Response:
    would = None
    if moment:
        try:
            would = await _revert(page, moment.strip(), dry_run=True)
        except ApiProblemError as error:
            if error.status in {401, 403}:
                raise
            status, fault = error.status, str(error)
    name = page.part("name")
    return page.show(
        "kv/kv_revert.html", status=status, name=name, to=moment, would=would, fault=fault
    )


async def _revert(page: Page, moment: str, *, dry_run: bool) -> Mapping[str, Any]:
    body = _moment(moment) | {"dry_run": dry_run}
    found: Mapping[str, Any] = await page.api.post(
        "tasks", page.part("name"), "kv", "revert", body=body
    )
    return found


def _moment(text: str) -> dict[str, Any]:
    """Return what was typed as the API names it: a revision, a run, or a time."""
    if _REVISION.fullmatch(text):
        return {"revision": int(text)}
    return {"run": text} if _RUN.fullmatch(text) else {"at": text}


VIEWS: Final[Views] = {
    ("GET", "/ui/tasks/{name}/kv/revert"): preview,
    ("POST", "/ui/tasks/{name}/kv/revert"): revert,
}
