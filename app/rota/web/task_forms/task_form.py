"""A form for one task, as it was typed: what the API says to it, and how it is shown."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from rota.errors import Fault
from rota.web.api_client import ApiProblemError
from rota.web.formats import prose
from rota.web.page import Page
from rota.web.task_forms.fields import Field
from rota.web.task_forms.layout import lay_out
from rota.web.task_forms.patches import can_be_patched, patch_between
from rota.web.task_forms.registration import (
    FIRST_TYPED,
    Handlers,
    fields_for,
    read_handlers,
    zones,
)
from rota.web.task_forms.typed import Reader, fill

_REQUIRED: Final = re.compile(r'"(?P<name>[^"]+)" is a required property')
_CHANGED = "The task was changed since this page was opened. What you typed is kept: look at what it would change now."


class RefusedError(Exception):
    """What was typed cannot be sent, or the API has refused it."""

    def __init__(self, status: int, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.detail for fault in faults))
        self.status = status
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Present:
    """The task that is edited, as it is now."""

    name: str
    task: Mapping[str, Any]
    etag: str


@dataclass(frozen=True, slots=True)
class TaskForm:
    """A form, and what was typed into it."""

    page: Page
    fields: tuple[Field, ...]
    handlers: Handlers
    typed: Mapping[str, str]
    present: Present | None

    def body(self) -> dict[str, Any]:
        """Return the registration that was typed; raises RefusedError."""
        reader = Reader(self.typed)
        body = reader.members(self.fields)
        if reader.faults:
            raise RefusedError(422, reader.faults)
        if body.get("handler") != "http":
            body.pop("target", None)  # its fields are not to be seen
        return body

    async def send(self, *, dry_run: bool) -> Any:
        """Register or change the task, or return what that would do; raises RefusedError."""
        body = self.body()
        parameters = {"dry_run": "true"} if dry_run else {}
        try:
            if self.present is None:
                return await self.page.api.post("tasks", body=body, **parameters)
            return await self._change(self.present, body, parameters)
        except ApiProblemError as error:
            if error.status == 401:
                raise
            raise RefusedError(error.status, list(faults_of(error))) from None

    async def _change(
        self, present: Present, body: Mapping[str, Any], parameters: Mapping[str, str]
    ) -> Any:
        before = Reader(fill(self.fields, present.task)).members(self.fields)
        if can_be_patched(before, body):
            method, sent = "PATCH", patch_between(before, body)
        else:
            method, sent = "PUT", dict(body)
        expected = (
            (b"if-match", self.typed.get("etag", present.etag).encode("latin-1", "replace")),
        )
        path = ("tasks", present.name)
        return (await self.page.api.call(method, path, parameters, sent, expected)).content

    async def preview(self, body: Mapping[str, Any]) -> Any:
        """Return the fire times of the schedule that was typed, None if it has none yet; raises RefusedError."""
        asked = {"schedule": body.get("schedule"), "count": 5}
        if body.get("name"):
            asked["name"] = body["name"]
        try:
            return await self.page.api.post("schedules", "preview", body=asked)
        except ApiProblemError as error:
            raise RefusedError(error.status, list(faults_of(error))) from None

    def show(self, *, status: int = 200, faults: Iterable[Fault] = ()) -> Response:
        """Return the page with the form, and each fault at its field."""
        handler = self.handlers.find(self.typed.get("/handler", ""))
        sections, others = lay_out(self.fields, self.typed, faults)
        return self.page.show(
            "tasks/task_form.html",
            status=status,
            sections=sections,
            others=others,
            zones=zones(),
            handler=handler,
            handler_does=prose(handler["description"]) if handler else "",
            **self.shown(),
        )

    def shown(self) -> dict[str, Any]:
        """Return what each page of the form shows."""
        kept = {
            name: text
            for name, text in self.typed.items()
            if text and (name == "etag" or name.startswith("/"))
        }
        present = self.present
        return {
            "name": present.name if present else None,
            "etag": self.typed.get("etag", present.etag if present else ""),
            "typed": kept,
        }


def faults_of(error: ApiProblemError) -> Iterable[Fault]:
    """Yield what is wrong by the API's own words."""
    detail = error.problem.get("detail", "The request failed.")
    if error.status == 412:
        yield Fault("", _CHANGED)
    elif error.problem.get("type") == "/problems/task-exists":
        yield Fault("/name", detail)
    elif not error.problem.get("errors"):
        yield Fault("", detail)
    for each in error.problem.get("errors", ()):
        yield _at_its_field(Fault(each.get("pointer", ""), each["detail"]))


def _at_its_field(fault: Fault) -> Fault:
    """Return a fault where its field is: a schema says of an object what is missing in it."""
    found = _REQUIRED.fullmatch(fault.detail)
    if found is None:
        return fault
    name = found["name"].replace("~", "~0").replace("/", "~1")
    return Fault(f"{fault.pointer}/{name}", "this field is required")


async def form_of(page: Page, typed: Mapping[str, str]) -> TaskForm:
    """Return the form for a new task with what was typed into it."""
    handlers = await read_handlers(page)
    fields = fields_for(page.request.app.openapi(), handlers, typed.get("/handler", ""))
    return TaskForm(page, fields, handlers, {**FIRST_TYPED, **typed}, None)


async def edit_form_of(page: Page, typed: Mapping[str, str] | None) -> TaskForm:
    """Return the form for the task of a page; with its members, if nothing was typed yet."""
    present, handlers = await read_present(page), await read_handlers(page)
    handler = (typed or {}).get("/handler", present.task["handler"])
    document = page.request.app.openapi()
    fields = tuple(each for each in fields_for(document, handlers, handler) if each.path != "/name")
    if typed is None:
        typed = {**fill(fields, present.task), "etag": present.etag}
    return TaskForm(page, fields, handlers, typed, present)


async def read_present(page: Page) -> Present:
    """Return the task of a page as it is; raises ApiProblemError."""
    name = page.part("name")
    reply = await page.api.call("GET", ("tasks", name), {})
    return Present(name, reply.content, reply.headers[b"etag"].decode("latin-1"))
