"""Run a task now: a form made from the schema of its handler, with the last input in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from starlette.responses import Response

from rota.errors import Fault
from rota.web.api_client import ApiProblemError
from rota.web.formats import pretty_json
from rota.web.page import Page, Views, see_other
from rota.web.task_forms.fields import AS_JSON, Field
from rota.web.task_forms.input_fields import input_field, only
from rota.web.task_forms.layout import lay_out_one
from rota.web.task_forms.registration import zones
from rota.web.task_forms.task_form import faults_of
from rota.web.task_forms.typed import Reader, fill

_OWN: Final = "own"


class Input(NamedTuple):
    """What the form begins with: the input of the last run, or the task's own."""

    value: Any
    run: Mapping[str, Any] | None = None


async def show(page: Page) -> Response:
    """Show the form."""
    task, schema = await _task(page)
    begin = await _begin(page, task)
    field = input_field(schema)
    typed = _as_json(begin.value) if _wants_json(page) else fill([field], {"input": begin.value})
    form = RunForm(page, task, only(field, field.chosen(typed)), typed or _as_json(begin.value))
    return form.show(prefilled=begin.run)


async def run(page: Page) -> Response:
    """Run the task with what was typed, or with its own input, and show the run."""
    typed = await page.form()
    if (given := typed.get("with", _OWN)) == _OWN:
        return await _begin_run(page, None)
    task, schema = await _task(page)
    form = RunForm(page, task, only(input_field(schema), given), typed)
    body, faults = form.body()
    if faults:
        return form.show(status=422, faults=faults)
    try:
        return await _begin_run(page, body)
    except ApiProblemError as error:
        if error.status in {401, 403, 404}:
            raise
        return form.show(status=error.status, faults=faults_of(error))


@dataclass(frozen=True, slots=True)
class RunForm:
    """The form for the input of a run of a task, and what was typed into it."""

    page: Page
    task: Mapping[str, Any]
    field: Field
    typed: Mapping[str, str]

    def body(self) -> tuple[Mapping[str, Any], Sequence[Fault]]:
        """Return the request with the input that was typed, and what is wrong with it."""
        reader = Reader(self.typed)
        body = reader.members([self.field])
        if not body and not reader.faults:
            # Without an input, the API runs the task with its own.
            return body, [Fault(self.field.pointer, "give a value")]
        return body, reader.faults

    def show(
        self,
        *,
        status: int = 200,
        prefilled: Mapping[str, Any] | None = None,
        faults: Iterable[Fault] = (),
    ) -> Response:
        """Return the page, with each fault at its field."""
        shown, others = lay_out_one(self.field, self.typed, faults)
        has_zone = any(each.suggestions for each in self.field.all())
        return self.page.show(
            "tasks/run_now.html",
            status=status,
            task=self.task,
            input=shown,
            given_as=shown.value,
            as_json=_wants_json(self.page),
            zones=zones() if has_zone else (),
            prefilled=prefilled,
            faults=[f"{each.pointer}: {each.detail}".removeprefix(": ") for each in others],
        )


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


def _as_json(value: Any) -> dict[str, str]:
    return {"/input": AS_JSON, f"/input#{AS_JSON}": pretty_json(value)}


def _wants_json(page: Page) -> bool:
    return page.parameters.get("as") == "json"


VIEWS: Final[Views] = {
    ("GET", "/ui/tasks/{name}/run"): show,
    ("POST", "/ui/tasks/{name}/run"): run,
}
