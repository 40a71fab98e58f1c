"""The fields of a registration: those of its schema, with the handlers that there are and the input of one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final
from zoneinfo import available_timezones

from rota.web.page import Page
from rota.web.task_forms.fields import AS_JSON, Field, Kind
from rota.web.task_forms.from_schema import MOST_MEMBERS, FormMaker, prose

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
    schemas = document["components"]["schemas"]
    made = FormMaker(schemas).fields_of("", schemas[_MODEL])
    return tuple(_completed(each, handlers, handler) for each in made)


def _completed(field: Field, handlers: Handlers, handler: str) -> Field:
    if field.path == "/handler":
        return _with_options(field, handlers, handler)
    if field.path == "/input":
        return _input(field, handlers.find(handler))
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


def _input(field: Field, handler: Mapping[str, Any] | None) -> Field:
    """Return the choice between the fields of a handler's schema and JSON."""
    path = f"{field.path}#{AS_JSON}"
    as_json = Field(path=path, label="Input as JSON", kind=Kind.JSON, example='{"name": "Ada"}')
    forms = [*_of_handler(field, handler), (AS_JSON, as_json)]
    options = tuple((name, _WORDS[name]) for name, _ in forms)
    return replace(field, kind=Kind.CHOICE, example="", options=options, forms=tuple(forms))


_WORDS: Final = {"fields": "by its fields", AS_JSON: "as JSON"}


def _of_handler(field: Field, handler: Mapping[str, Any] | None) -> Iterator[tuple[str, Field]]:
    schema = (handler or {}).get("input_schema")
    if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
        return
    if len(schema["properties"]) > MOST_MEMBERS:
        return
    try:
        fields = FormMaker(schema.get("$defs", {})).fields_of(f"{field.path}#fields", schema)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return  # a schema that is read as JSON Schema allows, and not as our models write it
    hint = prose(str(schema.get("description", "")))
    if fields:
        yield (
            "fields",
            Field(
                path=f"{field.path}#fields",
                label="Input",
                kind=Kind.GROUP,
                hint=hint,
                fields=fields,
            ),
        )


@cache
def zones() -> tuple[str, ...]:
    """Return the names of time zones, to complete what is typed."""
    return tuple(sorted(name for name in available_timezones() if "/" in name or name == "UTC"))
