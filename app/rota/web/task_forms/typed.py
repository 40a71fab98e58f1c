"""Between what is typed into a form and JSON, in both directions."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rota.domain.primitives.json import json_text
from rota.errors import AppError, Fault
from rota.web.faults import why_no_json
from rota.web.task_forms.fields import AS_JSON, BY_FIELDS, Field, Kind, name_of
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
        read: dict[str, Any] = {}
        for each in fields:
            value = self._value(each)
            if each.kind is Kind.REST and isinstance(value, dict):
                read = value | read
            elif value is not _MISSING:
                read[name_of(each)] = value
        return read

    def _value(self, field: Field) -> Any:
        if self._typed.get(field.as_json):
            return self._json(field, self._typed.get(field.path, ""))
        if field.kind is Kind.GROUP:
            return self._group(field)
        if field.kind is Kind.CHOICE:
            return self._chosen(field)
        return self._simple(field, self._typed.get(field.path, ""))

    def _simple(self, field: Field, text: str) -> Any:
        if not text.strip():
            return None if field.required and field.nullable else _MISSING
        if field.kind is Kind.REST:
            return self._rest(field, text)
        if field.kind in {Kind.JSON, Kind.SELECT_JSON}:
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
            name_of(each): ""
            for each in form.fields
            if field.tag and each.required and each.may_be_empty and each.kind is Kind.TEXT
        }
        members |= self.members(form.fields)
        return members if field.tag is None else {field.tag: chosen, **members}

    def _rest(self, field: Field, text: str) -> Any:
        value = self._json(field, text)
        if value is _MISSING or isinstance(value, dict):
            return value
        self.faults.append(Fault(field.pointer, "give an object"))
        return _MISSING

    def _json(self, field: Field, text: str) -> Any:
        if not text.strip():
            return _MISSING
        try:
            return json_text.loads(text)
        except AppError as error:
            detail = f"this is no JSON ({why_no_json(error).rstrip('.')}); texts stand in quotes"
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


def fill(fields: Sequence[Field], members: Mapping[str, Any]) -> dict[str, str]:
    """Return what would be typed for the members of an object."""
    typed: dict[str, str] = {}
    names = {name_of(each) for each in fields if each.kind is not Kind.REST}
    for each in fields:
        if each.kind is Kind.REST:
            others = {name: value for name, value in members.items() if name not in names}
            typed |= {each.path: pretty(others)} if others else {}
            continue
        value = members.get(name_of(each))
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
    if field.tag is None and AS_JSON in dict(field.forms):
        return _filled_input(field, form, value)
    return {field.path: chosen, **fill(form.fields, value)}


def _filled_input(field: Field, form: Field, value: Mapping[str, Any]) -> dict[str, str]:
    """Return what is typed for an input: what its fields would change is JSON, as the schema can be of any shape."""
    typed = {field.path: BY_FIELDS, **fill(form.fields, value)}
    for each in form.fields:
        if each.kind is not Kind.REST and not _is_kept(each, typed, value):
            typed |= {each.path: pretty(value[name_of(each)]), each.as_json: "yes"}
    reader = Reader(typed)
    if json_text.equal(reader.members([field]), {name_of(field): value}) and not reader.faults:
        return typed
    return {field.path: AS_JSON, f"{field.path}#{AS_JSON}": pretty(value)}


def _is_kept(field: Field, typed: Typed, value: Mapping[str, Any]) -> bool:
    """Return whether what was typed for a member is what the member is."""
    name, reader = name_of(field), Reader(typed)
    if name not in value:
        return True
    return json_text.equal(reader.members([field]), {name: value[name]}) and not reader.faults


def _form_for(field: Field, value: Any) -> str:
    """Return the name of the form that a value fits."""
    for name, form in field.forms:
        if not isinstance(value, Mapping) or form.kind is not Kind.GROUP:
            continue
        members = {name_of(each) for each in form.fields} | {field.tag}
        takes_more = any(each.kind is Kind.REST for each in form.fields)
        if value.get(field.tag, name) == name and (takes_more or members >= value.keys()):
            return name
    return AS_JSON if AS_JSON in dict(field.forms) else ""
