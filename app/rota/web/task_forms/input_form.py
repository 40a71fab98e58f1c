"""The form for the input of one run, made from the schema of the handler: of a new run, and of one that is repeated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from rota.errors import Fault
from rota.web.api_client import ApiProblemError
from rota.web.formats import pretty_json
from rota.web.page import Page
from rota.web.task_forms.fields import AS_JSON, BY_FIELDS, Field
from rota.web.task_forms.input_fields import input_field, only
from rota.web.task_forms.layout import lay_out_one
from rota.web.task_forms.registration import zones
from rota.web.task_forms.task_form import faults_of
from rota.web.task_forms.typed import Reader, fill

#: The field that says how the input is typed; a request without it has no input of its own.
GIVEN_AS: Final = "with"
#: Refusals that are not about what was typed.
_NOT_OF_THE_FORM: Final = frozenset({401, 403, 404})


class InputRefusedError(Exception):
    """What was typed cannot be sent, or the API has refused it."""

    def __init__(self, status: int, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.detail for fault in faults))
        self.status = status
        self.faults = faults


@dataclass(frozen=True, slots=True)
class InputForm:
    """The form, and what was typed into it."""

    page: Page
    field: Field
    typed: Mapping[str, str]
    #: The input that it begins with is not what the fields can hold.
    is_unfit: bool = False

    async def send(self, *path: str) -> Any:
        """Return the run that a command makes with what was typed; raises InputRefusedError."""
        reader = Reader(self.typed)
        body = reader.members([self.field])
        if not body and not reader.faults:
            # Without an input, the API takes that of the task, or of the run that is repeated.
            reader.faults.append(Fault(self.field.pointer, "give a value"))
        if reader.faults:
            raise InputRefusedError(422, reader.faults)
        try:
            return await self.page.api.post(*path, body=body)
        except ApiProblemError as error:
            if error.status in _NOT_OF_THE_FORM:
                raise
            raise InputRefusedError(error.status, list(faults_of(error))) from None

    def show(
        self, template: str, *, status: int = 200, faults: Iterable[Fault] = (), **values: Any
    ) -> Response:
        """Return the page, with each fault at its field."""
        shown, others = lay_out_one(self.field, self.typed, faults)
        has_zone = any(each.suggestions for each in self.field.all())
        return self.page.show(
            template,
            status=status,
            input=shown,
            given_as=shown.value,
            as_json=_wants_json(self.page),
            is_unfit=self.is_unfit,
            zones=zones() if has_zone else (),
            faults=[f"{each.pointer}: {each.detail}".removeprefix(": ") for each in others],
            **values,
        )


async def empty_form(page: Page, handler: str | None) -> InputForm:
    """Return the form for an input that is not shown."""
    field = await _field(page, handler)
    form = AS_JSON if _wants_json(page) else field.chosen({})
    return InputForm(page, only(field, form), {})


async def prefilled_form(page: Page, handler: str | None, value: Any) -> InputForm:
    """Return the form with an input in it: as JSON where fields would change it, so that nothing of it is lost."""
    field = await _field(page, handler)
    typed = {} if _wants_json(page) or value is None else fill([field], {"input": value})
    typed = typed or {field.path: AS_JSON, f"{field.path}#{AS_JSON}": pretty_json(value)}
    chosen = field.chosen(typed)
    is_unfit = chosen == AS_JSON and not _wants_json(page) and BY_FIELDS in dict(field.forms)
    return InputForm(page, only(field, chosen), typed, is_unfit)


async def sent_form(page: Page, handler: str | None, typed: Mapping[str, str]) -> InputForm:
    """Return the form as it was sent."""
    return InputForm(page, only(await _field(page, handler), typed[GIVEN_AS]), typed)


async def _field(page: Page, handler: str | None) -> Field:
    found = None if handler is None else await page.api.find("handlers", handler)
    return input_field(found["input_schema"] if found else None)


def _wants_json(page: Page) -> bool:
    return page.parameters.get("as") == AS_JSON
