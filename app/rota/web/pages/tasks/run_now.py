"""Run a task now: a form made from the schema of its handler, with the last input in it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from starlette.responses import Response

from rota.web.page import Page, Views, see_other
from rota.web.task_forms.input_form import (
    GIVEN_AS,
    InputRefusedError,
    empty_form,
    prefilled_form,
    sent_form,
)

_OWN: Final = "own"
_TEMPLATE: Final = "tasks/run_now.html"


class Input(NamedTuple):
    """What the form begins with: the input of the last run, or the task's own."""

    value: Any
    run: Mapping[str, Any] | None = None


async def show(page: Page) -> Response:
    """Show the form."""
    page.rights.check("POST /v1/tasks/{name}/run")
    task = await page.api.get("tasks", page.part("name"))
    if task.get("secret_input"):
        form = await empty_form(page, task["handler"])
        return form.show(_TEMPLATE, task=task, prefilled=None)
    begin = await _begin(page, task)
    form = await prefilled_form(page, task["handler"], begin.value)
    return form.show(_TEMPLATE, task=task, prefilled=begin.run)


async def run(page: Page) -> Response:
    """Run the task with what was typed, or with its own input, and show the run."""
    typed = await page.form()
    path = ("tasks", page.part("name"), "run")
    if typed.get(GIVEN_AS, _OWN) == _OWN:
        return _to(page, await page.api.post(*path))
    task = await page.api.get("tasks", page.part("name"))
    form = await sent_form(page, task["handler"], typed)
    try:
        return _to(page, await form.send(*path))
    except InputRefusedError as error:
        return form.show(
            _TEMPLATE, status=error.status, faults=error.faults, task=task, prefilled=None
        )


async def _begin(page: Page, task: Mapping[str, Any]) -> Input:
    """Return what is in the form at first."""
    if page.parameters.get("from") == _OWN:
        return Input(task["input"])
    found = await page.api.find("tasks", task["name"], "runs", limit=1, trigger="manual,schedule")
    if not found or not found["items"]:
        return Input(task["input"])
    last = await page.api.find("runs", found["items"][0]["id"])
    known = last is not None and not last.get("secret_input") and not last.get("unreadable")
    return Input(last["input"], last) if known else Input(task["input"])


def _to(page: Page, run: Mapping[str, Any]) -> Response:
    return see_other(page.url_of("runs", run["id"]))


VIEWS: Final[Views] = {
    ("GET", "/ui/tasks/{name}/run"): show,
    ("POST", "/ui/tasks/{name}/run"): run,
}
