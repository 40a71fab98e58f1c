"""A form from a JSON Schema: one field for each member of an input, and the input from what was typed.

What does not fit a simple field, such as nested objects and lists, is typed as JSON. Numbers are text fields, so that
integers above 2^53 stay exact.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from rota.domain.primitives import json_text
from rota.errors import AppError, Invalid
from rota.web.formats import pretty_json

Control = Literal["text", "area", "number", "choice", "json"]
#: The name of the field with the whole input, and what the names of the others begin with.
WHOLE: Final = "input"
_PREFIX: Final = "input."
#: The name of the field with the members that the schema does not name.
_REST: Final = WHOLE
_MOST_HOPS: Final = 10
_LONG_TEXT: Final = 200
_COMBINED: Final = frozenset({"oneOf", "anyOf", "allOf", "if", "patternProperties"})
_NOTHING: Final = object()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form; `text` is what it holds, JSON unless the control is for text."""

    name: str
    member: str
    control: Control
    text: str = ""
    description: str = ""
    hint: str = ""
    required: bool = False
    nullable: bool = False
    #: The values to choose from, as JSON.
    choices: Sequence[str] = ()
    most: int | None = None
    fault: str | None = None


def fields_of(schema: Mapping[str, Any] | None, value: Any) -> list[Field]:
    """Return the fields for an input with its present value; one for the whole input where the schema is no object."""
    root = _resolved(schema or {}, schema or {})
    if not _is_plain_object(root) or not isinstance(value, dict | None):
        return [whole(value)]
    given: dict[str, Any] = value or {}
    members: Mapping[str, Any] = root["properties"]
    required = root.get("required", ())
    fields = [
        _field(name, _resolved(each, schema or {}), given.get(name, _NOTHING), name in required)
        for name, each in members.items()
    ]
    others = {name: each for name, each in given.items() if name not in members}
    return [*fields, _rest(others)] if others else fields


def whole(value: Any, text: str | None = None) -> Field:
    """Return the field for a whole input."""
    return Field(WHOLE, "", "json", pretty_json(value) if text is None else text, required=True)


def typed(schema: Mapping[str, Any] | None, form: Mapping[str, str]) -> list[Field]:
    """Return the fields of a form that was sent, with the text and the controls that they had there."""
    if form.get("with") == "json":
        return [whole(None, _text(form, WHOLE))]
    fields = fields_of(schema, {})
    if WHOLE in form:
        fields.append(_rest({}))
    return [
        replace(each, text=_text(form, each.name), control=_sent_control(form, each))
        for each in fields
    ]


def read(fields: Sequence[Field]) -> tuple[Any, dict[str, str]]:
    """Return the input that the fields hold, and what is wrong by the names of the fields."""
    input: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for field in fields:
        try:
            value = _read(field)
        except AppError as error:
            faults[field.name] = error.detail
            continue
        if not field.member and len(fields) == 1:
            return value, faults
        if not field.member and isinstance(value, dict):
            input |= value
        elif not field.member and value is not _NOTHING:
            faults[field.name] = "give an object"
        elif value is not _NOTHING:
            input[field.member] = value
    return input, faults


def with_faults(fields: Iterable[Field], faults: Mapping[str, str]) -> list[Field]:
    """Return the fields, each with what is wrong with it."""
    return [replace(each, fault=faults.get(each.name)) for each in fields]


def faults_by_field(
    fields: Iterable[Field], errors: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, str], list[str]]:
    """Return what the API says by the names of the fields, and what is about none of them."""
    by_member = {each.member: each.name for each in fields if each.member}
    found: dict[str, str] = {}
    others: list[str] = []
    for error in errors:
        path = _path(error.get("pointer") or "")
        name = by_member.get(path[1]) if path[:1] == ["input"] and len(path) > 1 else None
        if name is None:
            place = error.get("pointer") or error.get("parameter") or ""
            others.append(f"{place}: {error['detail']}" if place else error["detail"])
        else:
            found.setdefault(name, error["detail"])
    return found, others


def _is_plain_object(root: Mapping[str, Any]) -> bool:
    members = root.get("properties")
    return isinstance(members, dict) and bool(members) and not _COMBINED & root.keys()


def _field(name: str, schema: Mapping[str, Any], value: Any, required: bool) -> Field:  # noqa: FBT001
    inner, nullable = _without_null(schema)
    field = Field(
        name=_PREFIX + name,
        member=name,
        control=_control(inner, value),
        description=str(schema.get("description") or inner.get("description") or ""),
        hint=_hint(schema, inner),
        required=required,
        nullable=nullable,
        choices=_choices(inner),
        most=inner["maxLength"] if isinstance(inner.get("maxLength"), int) else None,
    )
    return replace(field, text=_shown(field, value))


def _rest(others: Mapping[str, Any]) -> Field:
    hint = "Fields that the schema does not name."
    return Field(_REST, "", "json", pretty_json(others), hint=hint)


def _control(schema: Mapping[str, Any], value: Any) -> Control:
    kind = schema.get("type")
    if _choices(schema):
        return "choice"
    if kind in {"integer", "number"} and _is_one(value, int | float):
        return "number"
    if kind == "string" and _is_one(value, str):
        text = value if isinstance(value, str) else ""
        return "area" if "\n" in text or schema.get("maxLength", 0) > _LONG_TEXT else "text"
    return "json"


def _is_one(value: Any, kind: Any) -> bool:
    absent = value is _NOTHING or value is None
    return absent or (isinstance(value, kind) and not isinstance(value, bool))


def _choices(schema: Mapping[str, Any]) -> list[str]:
    if isinstance(schema.get("enum"), list):
        return [json_text.dumps(each) for each in schema["enum"]]
    if "const" in schema:
        return [json_text.dumps(schema["const"])]
    return ["true", "false"] if schema.get("type") == "boolean" else []


def _hint(schema: Mapping[str, Any], inner: Mapping[str, Any]) -> str:
    """Return what may be typed, in a few words."""
    kind = inner.get("format") or inner.get("type")
    parts = [str(kind)] if isinstance(kind, str) else []
    parts += [
        f"{word} {json_text.dumps(inner[key])}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"))
        if key in inner
    ]
    default = schema.get("default", inner.get("default", _NOTHING))
    parts += [f"default {json_text.dumps(default)}"] if default is not _NOTHING else []
    return ", ".join(parts)


def _without_null(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    kinds = schema.get("type")
    if isinstance(kinds, list) and "null" in kinds and len(kinds) == 2:
        [kind] = [each for each in kinds if each != "null"]
        return {**schema, "type": kind}, True
    among = schema.get("anyOf", schema.get("oneOf"))
    if isinstance(among, list) and len(among) == 2 and {"type": "null"} in among:
        [inner] = [each for each in among if each != {"type": "null"}] or [{}]
        return inner if isinstance(inner, dict) else {}, True
    return schema, False


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema without references to the definitions of the same document, also within `anyOf`."""
    for _ in range(_MOST_HOPS):
        if not isinstance(schema, dict):
            return {}
        if "$ref" not in schema:
            break
        beside = {key: each for key, each in schema.items() if key != "$ref"}
        found = _at(root, str(schema["$ref"]))
        schema = {**found, **beside} if isinstance(found, dict) else {}
    if isinstance(schema.get("anyOf"), list):
        return {**schema, "anyOf": [_shallow(each, root) for each in schema["anyOf"]]}
    return dict(schema)


def _shallow(schema: Any, root: Mapping[str, Any]) -> Any:
    found = (
        _at(root, str(schema["$ref"])) if isinstance(schema, dict) and "$ref" in schema else None
    )
    return schema if found is None else found


def _at(root: Any, reference: str) -> Any:
    for token in _path(reference.removeprefix("#")):
        root = root.get(token) if isinstance(root, dict) else None
    return root


def _path(pointer: str) -> list[str]:
    return [json_text.unescape(token) for token in pointer.split("/")[1:]]


def _shown(field: Field, value: Any) -> str:
    if value is _NOTHING or (value is None and field.nullable):
        return ""
    if isinstance(value, str) and field.control in {"text", "area"}:
        return value
    return pretty_json(value) if field.control == "json" else json_text.dumps(value)


def _text(form: Mapping[str, str], name: str) -> str:
    return form.get(name, "").replace("\r\n", "\n")


def _sent_control(form: Mapping[str, str], field: Field) -> Control:
    sent = form.get(f"control.{field.name}")
    return next((each for each in get_args(Control) if each == sent), field.control)


def _read(field: Field) -> Any:
    if field.control in {"text", "area"} and (
        field.text or (field.required and not field.nullable)
    ):
        return field.text
    if not field.text.strip():
        return _read_empty(field)
    if field.control == "number":
        return _read_number(field.text)
    return json_text.loads(field.text)


def _read_empty(field: Field) -> Any:
    if not field.required:
        return _NOTHING
    if field.nullable:
        return None
    raise Invalid("give a value")


def _read_number(text: str) -> int | float:
    value: Any = json_text.loads(text.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid("give a number")
    return value
