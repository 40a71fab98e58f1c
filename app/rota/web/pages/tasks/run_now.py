"""Run a task now: a form made from the schema of its handler, with the last input in it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from starlette.responses import Response

from rota.web import schema_form
from rota.web.api_client import ApiProblemError
from rota.web.page import Page, Views, see_other
from rota.web.schema_form import Field

_OWN: Final = "own"


class Input(NamedTuple):
    """What the form begins with: the input of the last run, or the task's own."""

    value: Any
    run: Mapping[str, Any] | None = None


async def show(page: Page) -> Response:
    """Show the form."""
    task, schema = await _task(page)
    begin = await _begin(page, task)
    value = begin.value
    fields = [schema_form.whole(value)] if _as_json(page) else schema_form.fields_of(schema, value)
    return _show(page, task, fields, prefilled=begin.run)


async def run(page: Page) -> Response:
    """Run the task with what was typed, or with its own input, and show the run."""
    form = await page.form()
    if form.get("with", _OWN) == _OWN:
        return await _begin_run(page, None)
    task, schema = await _task(page)
    fields = schema_form.typed(schema, form)
    input, faults = schema_form.read(fields)
    if faults:
        return _show(page, task, schema_form.with_faults(fields, faults), status=422)
    try:
        return await _begin_run(page, {"input": input})
    except ApiProblemError as error:
        if error.status in {401, 403, 404}:
            raise
        return _refused(page, task, fields, error)


async def _begin_run(page: Page, body: Mapping[str, Any] | None) -> Response:
    made = await page.api.post("tasks", page.part("name"), "run", body=body)
    return see_other(page.url_of("runs", made["id"]))


async def _task(page: Page) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Return the task and the schema of its handler, if that has one."""
    task = await page.api.get("tasks", page.part("name"))
    handler = await page.api.find("handlers", task["handler"])
    return task, handler["input_schema"] if handler else None


async def _begin(page: Page, task: Mapping[str, Any]) -> Input:
    """Return what is in the form at first."""
    if task.get("secret_input"):
        return Input(None)
    if page.parameters.get("from") == _OWN:
        return Input(task["input"])
    found = await page.api.find("tasks", task["name"], "runs", limit=1, trigger="manual,schedule")
    if not found or not found["items"]:
        return Input(task["input"])
    last = await page.api.find("runs", found["items"][0]["id"])
    known = last is not None and not last.get("secret_input") and not last.get("unreadable")
    return Input(last["input"], last) if known else Input(task["input"])


def _refused(
    page: Page, task: Mapping[str, Any], fields: Sequence[Field], error: ApiProblemError
) -> Response:
    """Show the form again, with what the API says at the fields that it is about."""
    found, others = schema_form.faults_by_field(fields, error.problem.get("errors", ()))
    if len(fields) == 1 and others:
        found, others = {fields[0].name: "; ".join(others)}, []
    others = others or ([] if found else [str(error)])
    shown = schema_form.with_faults(fields, found)
    return _show(page, task, shown, status=error.status, faults=others)


def _show(
    page: Page,
    task: Mapping[str, Any],
    fields: Sequence[Field],
    *,
    status: int = 200,
    prefilled: Mapping[str, Any] | None = None,
    faults: Sequence[str] = (),
) -> Response:
    simple = any(each.member for each in fields)
    return page.show(
        "tasks/run_now.html",
        status=status,
        task=task,
        fields=fields,
        given_as="fields" if simple else "json",
        as_json=_as_json(page),
        prefilled=prefilled,
        faults=faults,
    )


def _as_json(page: Page) -> bool:
    return page.parameters.get("as") == "json"


VIEWS: Final[Views] = {
    ("GET", "/ui/tasks/{name}/run"): show,
    ("POST", "/ui/tasks/{name}/run"): run,
}
