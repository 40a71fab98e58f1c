"""Repairs after a run: to run it again, with other input, and to undo what it has changed in the kv."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from rota.domain.primitives.json import json_text
from rota.errors import AppError
from rota.web.api_client import ApiProblemError
from rota.web.faults import not_json
from rota.web.formats import pretty_json
from rota.web.page import Page, Views, see_other
from rota.web.pages.runs.runs import faults_of

#: Refusals that are about what was typed, or that another input may avoid.
_SHOWN_WITH_FORM: Final = frozenset({400, 409, 413, 422})


async def show_rerun(page: Page) -> Response:
    """Show the input of a run, to be changed before it is run again."""
    run = await page.api.get("runs", page.part("id"))
    return _rerun_form(page, run, _input_of(run), [])


async def rerun(page: Page) -> Response:
    """Run it again, with the input of the form if it has one, and show the new run."""
    id, form = page.part("id"), await page.form()
    if "input" not in form:
        return _to(page, await page.api.post("runs", id, "rerun"))
    try:
        body = {"input": json_text.loads(form["input"])}
        return _to(page, await page.api.post("runs", id, "rerun", body=body))
    except AppError as error:
        faults = [not_json("input", error)]
    except ApiProblemError as error:
        if error.status not in _SHOWN_WITH_FORM:
            raise
        faults = faults_of(error.problem)
    return _rerun_form(page, await page.api.get("runs", id), form["input"], faults)


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


def _rerun_form(page: Page, run: Mapping[str, Any], typed: str, faults: Sequence[str]) -> Response:
    status = 422 if faults else 200
    return page.show("runs/rerun.html", status=status, run=run, typed=typed, faults=faults)


def _input_of(run: Mapping[str, Any]) -> str:
    return "" if run.get("secret_input") else pretty_json(run["input"])


def _to(page: Page, run: Mapping[str, Any]) -> Response:
    return see_other(page.url_of("runs", run["id"]))


VIEWS: Final[Views] = {
    ("GET", "/ui/runs/{id}/rerun"): show_rerun,
    ("POST", "/ui/runs/{id}/rerun"): rerun,
    ("GET", "/ui/runs/{id}/revert"): show_revert,
    ("POST", "/ui/runs/{id}/revert"): revert,
}
