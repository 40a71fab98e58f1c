"""The key-value table of a task: its entries by key, and a new entry."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rota.errors import AppError
from rota.web.api_client import ApiProblemError
from rota.web.entries.values import AS_JSON, AS_TEXT, show, to_json
from rota.web.faults import not_json
from rota.web.page import Page, Views, see_other

_PER_PAGE: Final = 50
_NEW: Final[Mapping[str, str]] = {"key": "", "value": "", "as": AS_JSON, "ttl": ""}


async def show_table(page: Page) -> Response:
    """Show the entries whose key begins with a prefix, and a form for a new one."""
    return await _show(page)


async def create(page: Page) -> Response:
    """Write an entry that is not there yet."""
    name, form = page.part("name"), await page.form()
    try:
        body = {"value": to_json(form.get("value", ""), form.get("as", AS_JSON))}
        body |= {"ttl": form["ttl"]} if form.get("ttl") else {}
        only_new = ((b"if-none-match", b"*"),)
        path = ["tasks", name, "kv", form.get("key", "")]
        await page.api.call("PUT", path, {}, body, only_new)
    except ApiProblemError as error:
        if error.status in {401, 403, 404}:
            raise
        there = "There is an entry with this key already: open it to change it."
        fault = there if error.status == 412 else str(error)
        return await _show(page, error.status, fault, form)
    except AppError as error:
        return await _show(page, 422, not_json("value", error), form)
    return see_other(page.url_of("tasks", name, "kv", form["key"]))


async def _show(
    page: Page,
    status: int = 200,
    fault: str | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    name = page.part("name")
    wanted = {key: page.parameters.get(key) for key in ("prefix", "cursor")}
    (found, wrong), task = await asyncio.gather(
        _find(page, name, wanted), page.api.find("tasks", name)
    )
    return page.show(
        "kv/kv.html",
        status=422 if wrong else status,
        name=name,
        task=task,
        rows=[(each, show(each)) for each in found["items"]],
        count=found.get("count"),
        bytes=found.get("bytes"),
        following=found["next_cursor"],
        wrong=wrong,
        fault=fault,
        typed={**_NEW, **(typed or {})},
        formats=(AS_JSON, AS_TEXT),
    )


async def _find(
    page: Page, name: str, wanted: Mapping[str, str | None]
) -> tuple[Mapping[str, Any], str | None]:
    """Return a page of entries; and what is wrong with the prefix, if that is why there is none."""
    try:
        options = {"limit": _PER_PAGE, "include": "values,count"}
        return await page.api.get("tasks", name, "kv", **wanted, **options), None
    except ApiProblemError as error:
        if error.status != 422:
            raise
        return {"items": [], "next_cursor": None}, str(error)


VIEWS: Final[Views] = {
    ("GET", "/ui/tasks/{name}/kv"): show_table,
    ("POST", "/ui/tasks/{name}/kv"): create,
}
