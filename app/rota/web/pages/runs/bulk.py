"""Bulk operations on runs: a preview that the service stores, its confirmation, and what became of each run."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from rota.domain.primitives.json import json_text
from rota.errors import AppError, Unplannable
from rota.web.api_client import ApiProblemError
from rota.web.faults import not_json
from rota.web.lists.paging import paging
from rota.web.lists.run_filters import RunFilters
from rota.web.page import Page, Views, see_other
from rota.web.pages.runs.runs import faults_of

_PER_PAGE: Final = 50
VERBS: Final = {
    "rerun": "Run again",
    "cancel": "Cancel",
    "delete": "Delete",
}
#: What cannot be undone is confirmed by typing how many runs it is for.
_TYPED: Final = frozenset({"delete"})
_RESULTS: Final = ("pending", "done", "changed", "refused")
#: What confirming and cancelling wait for, in seconds: small operations end at once.
_WAIT: Final = 1


async def show_form(page: Page) -> Response:
    """Show what can be done with the runs that the filters in the URL select."""
    page.rights.check("POST /v1/runs/rerun")
    return _form(page, page.parameters, [])


async def preview(page: Page) -> Response:
    """Store a preview of what a form asks for, and show it; nothing is done before it is confirmed."""
    form = await page.form()
    verb = form.get("verb", "")
    if verb not in VERBS:
        return _form(page, form, ["Choose what to do."])
    try:
        body = {"selector": await _selector(page, form), **_options(verb, form), "dry_run": True}
        stored = await page.api.post("runs", verb, body=body)
    except ApiProblemError as error:
        if error.status != 422:
            raise
        return _form(page, form, faults_of(error.problem))
    except ValueError as error:
        return _form(page, form, [str(error)])
    return see_other(page.url_of("runs", "bulk", stored["id"]))


async def show(page: Page) -> Response:
    """Show a bulk operation: what it would do, how far it is, or what it has done."""
    return await _show(page)


async def _show(page: Page, fault: str | None = None) -> Response:
    id, chosen = page.part("id"), page.parameters.get("result", "")
    bulk, items = await asyncio.gather(
        page.api.get("bulk", id),
        page.api.get(
            "bulk",
            id,
            "items",
            result=chosen,
            limit=_PER_PAGE,
            cursor=page.parameters.get("cursor"),
        ),
    )
    return page.show(
        "runs/bulk.html",
        status=422 if fault else 200,
        fault=fault,
        bulk=bulk,
        verb=VERBS[bulk["verb"]],
        items=items["items"],
        results=_RESULTS,
        chosen=chosen,
        pages_around=paging(page, items["next_cursor"]),
    )


async def confirm(page: Page) -> Response:
    """Execute a preview; one that deletes if the number of runs was typed."""
    id = page.part("id")
    fault = await _not_confirmed(page, id)
    if fault is not None:
        return await _show(page, fault)
    await page.api.call("POST", ("bulk", id, "confirm"), {"wait": _WAIT})
    return see_other(page.url_of("runs", "bulk", id))


async def _not_confirmed(page: Page, id: str) -> str | None:
    bulk = await page.api.get("bulk", id)
    typed = (await page.form()).get("confirmation", "").replace(",", "").strip()
    if bulk["verb"] not in _TYPED or typed == str(bulk["runs"]):
        return None
    return f"Type {bulk['runs']}, the number of runs. Nothing was deleted."


async def cancel(page: Page) -> Response:
    """Give a preview up, or leave the runs alone that have no result yet."""
    id = page.part("id")
    await page.api.post("bulk", id, "cancel")
    return see_other(page.url_of("runs", "bulk", id))


async def show_all(page: Page) -> Response:
    """Show the latest bulk operations."""
    found = await page.api.get("bulk", limit=_PER_PAGE, cursor=page.parameters.get("cursor"))
    return page.show(
        "runs/bulks.html",
        filters=RunFilters({}),
        operations=found["items"],
        verbs=VERBS,
        pages_around=paging(page, found["next_cursor"]),
    )


def _form(page: Page, typed: Mapping[str, str], faults: Sequence[str]) -> Response:
    """Show the form with what was typed, and what is wrong with it."""
    return page.show(
        "runs/bulk_form.html",
        status=422 if faults else 200,
        filters=RunFilters.of(typed),
        typed=typed,
        verbs=VERBS,
        faults=faults,
    )


async def _selector(page: Page, form: Mapping[str, str]) -> dict[str, Any]:
    filters = RunFilters.of(form)
    if not filters.is_for_bulk:
        raise ValueError(
            "Runs of a chain or a backfill are not selected as such: use other filters."
        )
    timezone = await _zone(page, filters.given.get("task"))
    try:
        return filters.selector(page.services.clock.now(), timezone)
    except Unplannable as error:
        raise ValueError(error.detail) from None


async def _zone(page: Page, task: str | None) -> str | None:
    """Return the time zone of the only task that is selected, on whose clock local times are."""
    found = await page.api.find("tasks", task) if task and "," not in task else None
    return None if found is None else _zone_of(found["schedule"])


def _zone_of(schedule: Mapping[str, Any]) -> str:
    members = schedule.get("schedules", [schedule])
    return next((each["timezone"] for each in members if each.get("timezone")), "UTC")


def _options(verb: str, form: Mapping[str, str]) -> dict[str, Any]:
    """Return how runs are made; raises ValueError for what is no JSON, or no number."""
    if verb != "rerun":
        return {}
    options: dict[str, Any] = {}
    if form.get("input", "").strip():
        options["input"] = _json(form["input"])
    if form.get("max_concurrent", "").strip():
        options["max_concurrent"] = _number(form["max_concurrent"])
    return options


def _json(given: str) -> Any:
    try:
        return json_text.loads(given)
    except AppError as error:
        raise ValueError(not_json("input", error)) from None


def _number(given: str) -> int:
    try:
        return int(given)
    except ValueError:
        raise ValueError("At most so many at a time: give a whole number.") from None


VIEWS: Final[Views] = {
    ("GET", "/ui/runs/bulk"): show_all,
    ("GET", "/ui/runs/bulk/new"): show_form,
    ("POST", "/ui/runs/bulk"): preview,
    ("GET", "/ui/runs/bulk/{id}"): show,
    ("POST", "/ui/runs/bulk/{id}/confirm"): confirm,
    ("POST", "/ui/runs/bulk/{id}/cancel"): cancel,
}
