"""An entry of the key-value table of a task: its value, which can be changed, and its history."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from rota.domain.primitives.times.instants import parse_instant
from rota.errors import AppError
from rota.web.api_client import ApiProblemError, Headers
from rota.web.entries.json_diff import Line, compare
from rota.web.entries.values import AS_JSON, AS_TEXT, Entry, Shown, show, to_json
from rota.web.faults import not_json
from rota.web.page import Page, Views, see_other

_VERSIONS: Final = 50
_DONE: Final = {
    "save": "Saved. The value before is in the history.",
    "restore": "Restored. The value before is in the history.",
    "delete": "Deleted. Restore it from the history to undo that.",
}

Form = Mapping[str, str]


async def show_entry(page: Page) -> Response:
    """Show an entry: its value in an editor, its versions, and what a version has changed."""
    return await _show(page)


async def change(page: Page) -> Response:
    """Save what was typed, restore a version, or delete the entry; only if it is still what the page has shown."""
    form = await page.form()
    action = form.get("do", "")
    if action not in _DONE:
        return page.show("problem.html", status=404, code=404, detail="There is no such action.")
    try:
        await _change(page, action, form)
    except ApiProblemError as error:
        if error.status in {401, 403, 404}:
            raise
        return await _show(page, error.status, None if error.status == 412 else str(error), form)
    except AppError as error:
        return await _show(page, 422, not_json("value", error), form)
    return see_other(f"{_url(page)}?done={action}")


async def _change(page: Page, action: str, form: Form) -> None:
    path = ["tasks", page.part("name"), "kv", page.part("key")]
    tag = form.get("etag", "")
    # Without a tag there was no entry, and there must still be none.
    only_if = ((b"if-match", tag.encode()),) if tag else ((b"if-none-match", b"*"),)
    if action == "delete":
        await page.api.call("DELETE", path, {}, None, only_if)
    elif action == "restore":
        await _restore(page, path, form, only_if)
    else:
        text = form.get("value", "").replace("\r\n", "\n")
        await _put(page, path, text, form, only_if)


async def _restore(page: Page, path: Sequence[str], form: Form, only_if: Headers) -> None:
    """Write the value that an earlier version had."""
    versions = await _history(page)
    found = next((each for each in versions if str(each["version"]) == form.get("version")), None)
    if found is None or "value" not in found or found.get("unreadable"):
        problem = {"detail": "The history does not have the value of this version any more."}
        raise ApiProblemError(409, problem)
    if found.get("encoding") == "base64":
        value = show(found)
        given = {"content_type": found["content_type"]}
        if not value.editable:
            problem = {"detail": "Only JSON and texts can be restored here; use POST …/kv/revert."}
            raise ApiProblemError(409, problem)
        await _put(page, path, value.text, given, only_if)
    else:
        await page.api.call("PUT", path, {}, {"value": found["value"]}, only_if)


async def _put(page: Page, path: Sequence[str], text: str, form: Form, only_if: Headers) -> None:
    """Write a value: JSON, or bytes if the form names their type."""
    ttl = {"ttl": form["ttl"]} if form.get("ttl") else {}
    if kind := form.get("content_type"):
        headers = (*only_if, (b"content-type", kind.encode()))
        await page.api.call("PUT", path, ttl, text.encode(), headers)
    else:
        body = {"value": to_json(text, form.get("as", AS_JSON)), **ttl}
        await page.api.call("PUT", path, {}, body, only_if)


async def _show(
    page: Page, status: int = 200, fault: str | None = None, form: Form | None = None
) -> Response:
    """Show the page; with a form that was not saved, what was typed stays, beside the value that is there."""
    name, key = page.part("name"), page.part("key")
    task, found, versions = await asyncio.gather(
        page.api.find("tasks", name),
        page.api.get("tasks", name, "kv", keys=key),
        _history(page),
    )
    entry = next(iter(found["items"]), None)
    if entry is None and not versions:
        detail = f"There is no entry {key!r}."
        return page.show("problem.html", status=404, code=404, detail=detail)
    value = show(entry) if entry else Shown("deleted", None, "", editable=False)
    return page.show(
        "kv/kv_entry.html",
        status=status,
        name=name,
        key=key,
        own=key.startswith("_"),
        entry=entry,
        value=value,
        etag=f'"{task["id"]}.{entry["version"]}"' if task and entry else "",
        typed=_typed(value, entry, form, page.services.clock.now()),
        conflict=status == 412,
        fault=fault,
        formats=(AS_JSON, AS_TEXT),
        versions=[(each, show(each)) for each in versions],
        difference=_difference(page, versions),
        done=_DONE.get(page.parameters.get("done", "")),
    )


def _typed(value: Shown, entry: Entry | None, form: Form | None, now: datetime) -> dict[str, str]:
    """Return what the editor holds: what was typed, or the present value."""
    ttl = ""
    if entry and entry["expires_at"]:
        left = parse_instant(entry["expires_at"]) - now
        ttl = f"{max(round(left.total_seconds()), 1)}s"
    shown = {"value": value.text, "as": value.format, "ttl": ttl}
    return shown | {name: form[name] for name in shown if form and name in form}


async def _history(page: Page) -> list[Entry]:
    path = ("tasks", page.part("name"), "kv", page.part("key"), "history")
    found = await page.api.find(*path, limit=_VERSIONS)
    return list(found["items"]) if found else []


def _difference(page: Page, versions: Sequence[Entry]) -> Mapping[str, Any] | None:
    """Return what differs between the two versions in the URL; one alone is compared with the one before it."""
    numbers = [str(each["version"]) for each in versions]
    new = page.parameters.get("version", "")
    if new not in numbers:
        return None
    before = numbers[numbers.index(new) + 1 :]
    old = page.parameters.get("to", before[0] if before else "")
    older = versions[numbers.index(old)] if old in numbers else {"deleted": True}
    lines: list[Line] | None = compare(show(older).text, show(versions[numbers.index(new)]).text)
    return {"old": old if old in numbers else None, "new": new, "lines": lines}


def _url(page: Page) -> str:
    return page.url_of("tasks", page.part("name"), "kv", page.part("key"))


VIEWS: Final[Views] = {
    ("GET", "/ui/tasks/{name}/kv/{key}"): show_entry,
    ("POST", "/ui/tasks/{name}/kv/{key}"): change,
}
