"""One verb for all tasks that the filters select: first a preview, then a confirmation of what it shows."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from uuid import uuid4

from starlette.responses import Response

from rota.web.api_client import ApiProblemError
from rota.web.page import Page, Views
from rota.web.pages.tasks.tasks import BULK_VERBS, filters_of

_SHOWN: Final = 20
#: What ends something for good is confirmed by typing how many tasks it is for.
_TYPED: Final = frozenset({"cancel"})
#: What the verb would do is tried for at most so many tasks, as each takes its time; of more it is said how many.
_MOST_TRIED: Final = {"run": 50}
_MOST: Final = 1_000
_LISTS: Final = {
    "status": "status",
    "tag": "tags",
    "all_tags": "all_tags",
    "handler": "handler",
    "queue": "queue",
}

Form = Mapping[str, str]


async def preview(page: Page, *, verb: str) -> Response:
    """Show what the verb would do to which tasks."""
    return await _preview(page, verb, {})


async def execute(page: Page, *, verb: str) -> Response:
    """Apply the verb, if what it is for is still what the preview has shown."""
    form = await page.form()
    would = await _matched(page)
    if str(would["matched"]) != form.get("matched"):
        fault = "Meanwhile other tasks fit: look at them again. Nothing was done."
        return await _preview(page, verb, form, fault)
    if verb in _TYPED and form.get("confirmation", "").strip() != str(would["matched"]):
        fault = f"Type {would['matched']}, the number of tasks. Nothing was done."
        return await _preview(page, verb, form, fault)
    try:
        done = await _apply(page, verb, form)
    except ApiProblemError as error:
        return await _preview(page, verb, form, str(error))
    return page.show("tasks/tasks_bulk.html", **_about(page, verb, {}), done=done)


async def _preview(page: Page, verb: str, form: Form, fault: str | None = None) -> Response:
    would = await _matched(page)
    if would["matched"] <= _MOST_TRIED.get(verb, _MOST):
        would = {**would, **await _dry_run(page, verb)}
    shown = _about(page, verb, form) | {"would": would, "names": would["names"], "fault": fault}
    return page.show("tasks/tasks_bulk.html", status=409 if fault else 200, **shown, done=None)


async def _matched(page: Page) -> Mapping[str, Any]:
    """Return how many tasks fit, and the names of the first."""
    found = await page.api.get("tasks", **filters_of(page), limit=_SHOWN, total="true")
    return {
        "matched": found["total"],
        "is_exact": found["total_is_exact"],
        "names": _names(found),
        "refused": [],
    }


def _about(page: Page, verb: str, form: Form) -> dict[str, Any]:
    return {
        "verb": verb,
        "filters": filters_of(page),
        "form": form,
        "typed": verb in _TYPED,
        "once": form.get("once") or uuid4().hex,
        "list_url": page.url_with().replace(f"/tasks/{verb}", "/tasks", 1),
    }


async def _dry_run(page: Page, verb: str) -> Mapping[str, Any]:
    body = {"selector": _selector(page), "dry_run": True}
    found: Mapping[str, Any] = await page.api.post("tasks", verb, body=body)
    return found


async def _apply(page: Page, verb: str, form: Form) -> Mapping[str, Any]:
    body: dict[str, Any] = {"selector": _selector(page)}
    if verb == "pause" and form.get("reason"):
        body["reason"] = form["reason"]
    if verb == "resume" and form.get("catch_up"):
        body["catch_up"] = form["catch_up"]
    # So that a form that is sent twice runs each task once.
    once = ((b"idempotency-key", form["once"].encode()),) if form.get("once") else ()
    done: Mapping[str, Any] = (await page.api.call("POST", ["tasks", verb], {}, body, once)).content
    return done


def _selector(page: Page) -> dict[str, Any]:
    """Return the selector that means what the filters mean."""
    wanted = filters_of(page)
    found: dict[str, Any] = {
        field: [each for each in wanted[name].split(",") if each]
        for name, field in _LISTS.items()
        if name in wanted
    }
    if "name_prefix" in wanted:
        found["name_prefix"] = wanted["name_prefix"]
    return found or {"all": True}


def _names(found: Mapping[str, Any]) -> list[str]:
    return [each["name"] for each in found["items"]]


VIEWS: Final[Views] = {
    ("GET", f"/ui/tasks/{verb}"): partial(preview, verb=verb) for verb in BULK_VERBS
} | {("POST", f"/ui/tasks/{verb}"): partial(execute, verb=verb) for verb in BULK_VERBS}
