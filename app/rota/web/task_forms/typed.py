"""Between what is typed into a form and JSON, in both directions."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from rota.domain.primitives import json_text
from rota.errors import AppError, Fault
from rota.web.task_forms.fields import AS_JSON, Field, Kind, pointer_of
from rota.web.task_forms.texts import pretty, text_of

Typed = Mapping[str, str]

_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
#: What stands for a member that is left out.
_MISSING: Final = object()


class Reader:
    """Makes the members of a request from what was typed; what is no JSON is a fault, all else is for the API."""

    def __init__(self, typed: Typed) -> None:
        self._typed = {name: text.replace("\r\n", "\n") for name, text in typed.items()}
        self.faults: list[Fault] = []

    def members(self, fields: Iterable[Field]) -> dict[str, Any]:
        """Return an object; fields that are empty are left out."""
        read = {_name_of(each): self._value(each) for each in fields}
        return {name: value for name, value in read.items() if value is not _MISSING}

    def _value(self, field: Field) -> Any:
        if field.kind is Kind.GROUP:
            return self._group(field)
        if field.kind is Kind.CHOICE:
            return self._chosen(field)
        text = self._typed.get(field.path, "")
        if not text.strip():
            return _MISSING
        if field.kind is Kind.JSON:
            return self._json(field, text)
        return _of_text(field, text)

    def _group(self, field: Field) -> Any:
        members = self.members(field.fields)
        return members or _MISSING

    def _chosen(self, field: Field) -> Any:
        chosen = field.chosen(self._typed)
        form = dict(field.forms).get(chosen)
        if form is None:
            return chosen or _MISSING
        if form.kind is not Kind.GROUP:
            return self._value(form)
        members = {
            _name_of(each): ""
            for each in form.fields
            if field.tag and each.required and each.may_be_empty and each.kind is Kind.TEXT
        }
        members |= self.members(form.fields)
        return members if field.tag is None else {field.tag: chosen, **members}

    def _json(self, field: Field, text: str) -> Any:
        try:
            return json_text.loads(text)
        except AppError as error:
            detail = f"this is no JSON ({error.detail.rstrip('.')}); texts stand in quotes"
            self.faults.append(Fault(field.pointer, detail))
            return _MISSING


def _of_text(field: Field, text: str) -> Any:
    match field.kind:
        case Kind.NUMBER | Kind.DURATION:
            return _number(text.strip())
        case Kind.BOOLEAN:
            return {"true": True, "false": False}.get(text, text)
        case Kind.VALUES:
            values = [_guessed(each) for each in text.split(",") if each.strip()]
            return values[0] if len(values) == 1 else values
        case Kind.LINES:
            lines = [each for each in text.splitlines() if each.strip()]
            return [] if text.strip() == "[]" else [_guessed(each) for each in lines]
        case Kind.PAIRS:
            return dict(_pairs(text))
    return text if field.kind is Kind.LONG else text.strip()


def _pairs(text: str) -> Iterator[tuple[str, Any]]:
    for line in text.splitlines():
        if line.strip():
            name, _, value = line.partition(":")
            yield name.strip(), value.strip()


def _number(text: str) -> Any:
    return json_text.loads(text) if _NUMBER.fullmatch(text) else text


def _guessed(text: str) -> Any:
    """Return the value of a line: a number or an object if it reads as one, else a text."""
    text = text.strip()
    if _NUMBER.fullmatch(text) or text.startswith("{"):
        try:
            return json_text.loads(text)
        except AppError:
            return text
    return text


def fill(fields: Iterable[Field], members: Mapping[str, Any]) -> dict[str, str]:
    """Return what would be typed for the members of an object."""
    typed: dict[str, str] = {}
    for each in fields:
        value = members.get(_name_of(each))
        if value is not None and not (each.is_empty_without and value in ([], {})):
            typed |= _filled(each, value)
    return typed


def _filled(field: Field, value: Any) -> dict[str, str]:
    if field.kind is Kind.CHOICE:
        return _filled_choice(field, value)
    if field.kind is Kind.GROUP:
        return fill(field.fields, value) if isinstance(value, Mapping) else {}
    return {field.path: text_of(field.kind, value)}


def _filled_choice(field: Field, value: Any) -> dict[str, str]:
    chosen = _form_for(field, value)
    form = dict(field.forms).get(chosen)
    if form is None:
        return {field.path: str(value)}
    if form.kind is not Kind.GROUP:
        return {field.path: chosen, form.path: pretty(value)}
    typed = {field.path: chosen, **fill(form.fields, value)}
    if field.tag is None and AS_JSON in dict(field.forms):
        # The schema of a handler can be of any shape: what its fields would change is shown as JSON.
        reader = Reader(typed)
        if reader.members([field]) != {_name_of(field): value} or reader.faults:
            return {field.path: AS_JSON, f"{field.path}#{AS_JSON}": pretty(value)}
    return typed


def _form_for(field: Field, value: Any) -> str:
    """Return the name of the form that a value fits."""
    for name, form in field.forms:
        if not isinstance(value, Mapping) or form.kind is not Kind.GROUP:
            continue
        members = {_name_of(each) for each in form.fields} | {field.tag}
        if value.get(field.tag, name) == name and members >= value.keys():
            return name
    return AS_JSON if AS_JSON in dict(field.forms) else ""


def _name_of(field: Field) -> str:
    return json_text.unescape(pointer_of(field.path.rpartition("/")[2]))
