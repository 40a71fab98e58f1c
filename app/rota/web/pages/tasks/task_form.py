"""The form for a task: a preview as one types, and what would change before anything does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from rota.errors import Fault
from rota.web.page import Page, Views, see_other
from rota.web.task_forms.task_form import RefusedError, TaskForm, edit_form_of, form_of

_MOST_TIMES: Final = 10


async def show_new(page: Page) -> Response:
    """Show an empty form; parameters in the URL are typed into it."""
    page.rights.check("POST /v1/tasks")
    typed = {f"/{name}": value for name, value in page.parameters.items()}
    return (await form_of(page, typed)).show()


async def send_new(page: Page) -> Response:
    """Do what the button says with the form of a new task."""
    given = await page.form()
    return await _act(await form_of(page, given), given.get("action", ""))


async def show_edit(page: Page) -> Response:
    """Show a task in the form."""
    page.rights.check("PATCH /v1/tasks/{name}")
    return (await edit_form_of(page, None)).show()


async def send_edit(page: Page) -> Response:
    """Do what the button says with the form of a task that is there."""
    given = await page.form()
    return await _act(await edit_form_of(page, given), given.get("action", ""))


async def _act(form: TaskForm, action: str) -> Response:
    try:
        return await _ACTIONS.get(action, _review)(form)
    except RefusedError as error:
        if error.status == 412 and form.present is not None:
            form = replace(form, typed={**form.typed, "etag": form.present.etag})
        return form.show(status=error.status, faults=error.faults)


async def _refresh(form: TaskForm) -> Response:
    return form.show()


async def _review(form: TaskForm) -> Response:
    """Show what would change; nothing is written."""
    would = await form.send(dry_run=True)
    return form.page.show(
        "tasks/task_form_review.html", would=would, most=_MOST_TIMES, **form.shown()
    )


async def _save(form: TaskForm) -> Response:
    made = await form.send(dry_run=False)
    return see_other(form.page.url_of("tasks", made["name"]))


async def _live(form: TaskForm) -> Response:
    """Return the part of the page that says what was typed so far: in words, as times, and what is still missing."""
    body, faults = _readable(form)
    preview = None
    if body.get("schedule"):
        try:
            preview = await form.preview(body)
        except RefusedError as error:
            faults += error.faults
    warnings: list[Mapping[str, Any]] = list(preview["warnings"]) if preview else []
    if not faults:
        try:
            warnings = (await form.send(dry_run=True))["warnings"]
        except RefusedError as error:
            faults += error.faults
    return form.page.show(
        "tasks/task_form_preview.html", preview=preview, warnings=warnings, faults=faults
    )


def _readable(form: TaskForm) -> tuple[dict[str, Any], list[Fault]]:
    try:
        return form.body(), []
    except RefusedError as error:
        return {}, list(error.faults)


_ACTIONS: Final[Mapping[str, Callable[[TaskForm], Awaitable[Response]]]] = {
    "refresh": _refresh,
    "live": _live,
    "review": _review,
    "save": _save,
}

VIEWS: Final[Views] = {
    ("GET", "/ui/new-task"): show_new,
    ("POST", "/ui/new-task"): send_new,
    ("GET", "/ui/tasks/{name}/edit"): show_edit,
    ("POST", "/ui/tasks/{name}/edit"): send_edit,
}
