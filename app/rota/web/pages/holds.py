"""Holds: what is stopped, until when, and why; stopping everything for an hour, and ending that."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from starlette.responses import Response

from rota.domain.primitives.times.instants import format_instant
from rota.web.api_client import ApiProblemError
from rota.web.faults import fault_of
from rota.web.page import Page, Views, see_other

_PER_PAGE: Final = 50
#: The lengths that the form offers, in minutes.
LENGTHS: Final = (
    ("15", "15 minutes"),
    ("60", "an hour"),
    ("240", "4 hours"),
    ("1440", "a day"),
    ("", "until the time below, or until it is ended"),
)
_FIRST: Final = {
    "name": "everything",
    "what": "all",
    "which": "",
    "from": "",
    "length": "60",
    "until": "",
    "reason": "",
    "fire_times": "skip",
}


async def show(page: Page) -> Response:
    """Show the holds, and the form for another."""
    return await _listed(page, _FIRST)


async def declare(page: Page) -> Response:
    """Set a hold."""
    form = {**_FIRST, **await page.form()}
    try:
        await page.api.call("PUT", ("holds", form["name"].strip()), {}, _body(page, form))
    except ApiProblemError as error:
        return await _listed(page, form, fault_of(error))
    return see_other("/ui/holds")


async def show_one(page: Page) -> Response:
    """Show a hold, and how many tasks it holds."""
    hold = await page.api.get("holds", page.part("name"), count="true")
    return page.show("around/hold.html", hold=hold)


async def end(page: Page) -> Response:
    """End a hold."""
    await page.api.call("DELETE", ("holds", page.part("name")), {})
    return see_other("/ui/holds")


async def _listed(page: Page, form: Mapping[str, str], fault: Any = None) -> Response:
    ended = "true" if page.parameters.get("ended") else None
    found, queues = await asyncio.gather(
        page.api.get("holds", limit=_PER_PAGE, ended=ended, cursor=page.parameters.get("cursor")),
        page.api.find("queues"),
    )
    return page.show(
        "around/holds.html",
        status=400 if fault else 200,
        holds=found["items"],
        following_cursor=found["next_cursor"],
        ended=ended,
        form=form,
        fault=fault,
        lengths=LENGTHS,
        queues=[each["name"] for each in queues["items"]] if queues else [],
    )


def _body(page: Page, form: Mapping[str, str]) -> dict[str, Any]:
    body = {
        "selector": _selector(form["what"], form["which"]),
        "from": form["from"].strip() or None,
        "until": _until(page, form),
        "reason": form["reason"].strip() or None,
        "fire_times": form["fire_times"],
    }
    return {name: value for name, value in body.items() if value is not None}


def _selector(what: str, which: str) -> dict[str, Any]:
    """Return the selector of the form; the API says what is wrong with it."""
    if what == "all":
        return {"all": True}
    if what == "name_prefix":
        return {"name_prefix": which.strip()}
    return {what: [each.strip() for each in which.split(",") if each.strip()]}


def _until(page: Page, form: Mapping[str, str]) -> str | None:
    length = form["length"]
    if not length.isdecimal() or len(length) > 6:
        return form["until"].strip() or None
    if form["from"].strip():
        return form["until"].strip() or None
    return format_instant(page.services.clock.now() + timedelta(minutes=int(length)))


VIEWS: Final[Views] = {
    ("GET", "/ui/holds"): show,
    ("POST", "/ui/holds"): declare,
    ("GET", "/ui/holds/{name}"): show_one,
    ("POST", "/ui/holds/{name}/end"): end,
}
