"""The fields of a registration: those of its schema, with the handlers that there are and the input of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final
from zoneinfo import available_timezones

from rota.web.formats import prose
from rota.web.page import Page
from rota.web.task_forms.fields import Field, Kind
from rota.web.task_forms.from_schema import FormMaker
from rota.web.task_forms.input_fields import input_field

_MODEL: Final = "TaskIn"
_MOST_HANDLERS: Final = 200
#: A registration that is new fires at times of the clock unless another kind is chosen.
FIRST_TYPED: Final = {"/schedule": "cron"}


@dataclass(frozen=True, slots=True)
class Handlers:
    """The handlers that the session may see; `are_all` is false if there are more."""

    items: Sequence[Mapping[str, Any]]
    are_all: bool

    def find(self, name: str) -> Mapping[str, Any] | None:
        """Return a handler by its name."""
        return next((each for each in self.items if each["name"] == name), None)


async def read_handlers(page: Page) -> Handlers:
    """Return the handlers."""
    found = await page.api.find("handlers", limit=_MOST_HANDLERS)
    if found is None:
        return Handlers((), are_all=False)
    return Handlers(found["items"], are_all=found["next_cursor"] is None)


def fields_for(document: Mapping[str, Any], handlers: Handlers, handler: str) -> tuple[Field, ...]:
    """Return the fields of a registration that names a handler."""
    model = document["components"]["schemas"][_MODEL]
    made = FormMaker(document).fields_of("", model)
    return tuple(_completed(each, handlers, handler) for each in made)


def _completed(field: Field, handlers: Handlers, handler: str) -> Field:
    if field.path == "/handler":
        return _with_options(field, handlers, handler)
    if field.path == "/input":
        return input_field((handlers.find(handler) or {}).get("input_schema"), field)
    return field


def _with_options(field: Field, handlers: Handlers, handler: str) -> Field:
    if not handlers.are_all:
        return field
    names = dict.fromkeys(("http", *(each["name"] for each in handlers.items)))
    if handler:
        names[handler] = None
    options = [
        ("http", "http (a request to a URL)"),
        *((name, name) for name in names if name != "http"),
    ]
    hint = prose("What runs: a Python handler of this service, or `http`.")
    options.insert(0, ("", "choose one"))
    return replace(field, kind=Kind.SELECT, options=tuple(options), hint=hint, example="")


@cache
def zones() -> tuple[str, ...]:
    """Return the names of time zones, to complete what is typed."""
    return tuple(sorted(name for name in available_timezones() if "/" in name or name == "UTC"))
