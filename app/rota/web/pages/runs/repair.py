"""Repairs after a run: to run it again, with other input, and to undo what it has changed in the kv."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from rota.web.api_client import ApiProblemError
from rota.web.page import Page, Views, see_other
from rota.web.pages.runs.runs import faults_of
from rota.web.task_forms.input_form import (
    GIVEN_AS,
    InputRefusedError,
    empty_form,
    prefilled_form,
    sent_form,
)

#: Refusals that are about the run, and not about who asks.
_SHOWN_WITH_FORM: Final = frozenset({400, 409, 413, 422})


async def show_rerun(page: Page) -> Response:
    """Show the input of a run, to be changed before it is run again."""
    page.rights.check("POST /v1/runs/{id}/rerun")
    run = await page.api.get("runs", page.part("id"))
    is_known = not run.get("secret_input") and "input" not in run.get("unreadable", ())
    handler = await _handler_of(page, run)
    if is_known:
        form = await prefilled_form(page, handler, run["input"])
    else:
        form = await empty_form(page, handler)
    return form.show("runs/rerun.html", run=run)


async def rerun(page: Page) -> Response:
    """Run it again, with the input of the form if it has one, and show the new run."""
    typed, path = await page.form(), ("runs", page.part("id"), "rerun")
    if GIVEN_AS not in typed:
        return _to(page, await page.api.post(*path))
    run = await page.api.get("runs", page.part("id"))
    form = await sent_form(page, await _handler_of(page, run), typed)
    try:
        return _to(page, await form.send(*path))
    except InputRefusedError as error:
        return form.show("runs/rerun.html", status=error.status, faults=error.faults, run=run)


async def show_revert(page: Page) -> Response:
    """Show what it takes to restore the kv as it was before a run."""
    return await _reverted(page, dry_run=True)


async def revert(page: Page) -> Response:
    """Restore the kv as it was before a run; sent again, it changes nothing."""
    return await _reverted(page, dry_run=False)


async def _reverted(page: Page, *, dry_run: bool) -> Response:
    run = await page.api.get("runs", page.part("id"))
    body = {"run": run["id"], "dry_run": dry_run}
    try:
        done = await page.api.post("tasks", run["task"], "kv", "revert", body=body)
    except ApiProblemError as error:
        if error.status not in _SHOWN_WITH_FORM:
            raise
        faults = [str(error), *faults_of(error.problem)] if error.status == 422 else [str(error)]
        return page.show("runs/revert.html", status=error.status, run=run, done=None, faults=faults)
    return page.show("runs/revert.html", run=run, done=done, faults=[])


async def _handler_of(page: Page, run: Mapping[str, Any]) -> str | None:
    """Return the handler that another run of the task is for; None if the session may not see the task."""
    task = await page.api.find("tasks", run["task"])
    return task["handler"] if task else None


def _to(page: Page, run: Mapping[str, Any]) -> Response:
    return see_other(page.url_of("runs", run["id"]))


VIEWS: Final[Views] = {
    ("GET", "/ui/runs/{id}/rerun"): show_rerun,
    ("POST", "/ui/runs/{id}/rerun"): rerun,
    ("GET", "/ui/runs/{id}/revert"): show_revert,
    ("POST", "/ui/runs/{id}/revert"): revert,
}
