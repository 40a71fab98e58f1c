"""The fields for the input of a handler, made from its schema, which can be of any shape; or one for JSON.

A member that no simple field fits is typed as JSON, and so are the members that the schema does not name.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from rota.domain.primitives.json import json_text
from rota.web.formats import prose
from rota.web.task_forms.fields import AS_JSON, BY_FIELDS, Field, Kind
from rota.web.task_forms.from_schema import MOST_MEMBERS, FormMaker, Schema

_PATH: Final = "/input"
_WORDS: Final = {BY_FIELDS: "by its fields", AS_JSON: "as JSON"}
#: An object with one of these has other members than its `properties` say.
_COMBINED: Final = frozenset({"oneOf", "anyOf", "allOf", "if", "patternProperties"})
_LONG_TEXT: Final = 200
_LIMITS: Final = (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"))
#: The kinds of fields that show their limits: the others show what can be typed.
_WITH_LIMITS: Final = frozenset({Kind.TEXT, Kind.LONG, Kind.NUMBER, Kind.JSON})
#: What a schema that is not as our models write it makes of the code that reads it.
_UNREADABLE: Final = (AttributeError, KeyError, TypeError, ValueError, RecursionError)


def input_field(schema: Any, field: Field | None = None) -> Field:
    """Return the choice between the fields of a handler's input and JSON; of the latter only, if it has no members.

    `field`: what the registration says of the input.
    """
    field = field or Field(path=_PATH, label="Input", kind=Kind.JSON)
    path = f"{field.path}#{AS_JSON}"
    as_json = Field(path=path, label="Input as JSON", kind=Kind.JSON, example='{"name": "Ada"}')
    by_fields = _by_fields(f"{field.path}#{BY_FIELDS}", schema)
    forms = ([(BY_FIELDS, by_fields)] if by_fields else []) + [(AS_JSON, as_json)]
    options = tuple((name, _WORDS[name]) for name, _ in forms)
    return replace(field, kind=Kind.CHOICE, example="", options=options, forms=tuple(forms))


def only(field: Field, form: str) -> Field:
    """Return the field with one of its forms, that for JSON if there is no such."""
    name = form if form in dict(field.forms) else AS_JSON
    forms = tuple(each for each in field.forms if each[0] == name)
    return replace(field, options=((name, _WORDS[name]),), forms=forms)


def _by_fields(path: str, schema: Any) -> Field | None:
    try:
        maker = _InputFormMaker(schema)
        root = maker.resolved(schema)
        if not _has_simple_members(root):
            return None
        fields = maker.fields_of(path, root)
    except _UNREADABLE:
        return None
    rest = () if root.get("additionalProperties") is False else (_rest(path),)
    hint = prose(str(root.get("description", "")))
    return Field(path=path, label="Input", kind=Kind.GROUP, hint=hint, fields=(*fields, *rest))


def _has_simple_members(root: Schema) -> bool:
    members = root.get("properties")
    if not isinstance(members, Mapping) or _COMBINED & root.keys():
        return False
    # In paths, `#` and an empty name mean something else.
    return 0 < len(members) <= MOST_MEMBERS and all(each and "#" not in each for each in members)


def _rest(path: str) -> Field:
    hint = prose("Fields that the schema does not name, as an object.")
    return Field(path=f"{path}/#rest", label="Other fields", kind=Kind.REST, hint=hint)


class _InputFormMaker(FormMaker):
    """Reads what JSON Schema allows: members are called as they are, and what is not understood is typed as JSON."""

    def field(self, path: str, name: str, schema: Schema, *, required: bool = False) -> Field:
        try:
            made = super().field(path, name, schema, required=required)
            found = self.resolved(schema)
            has_limits = made.kind in _WITH_LIMITS
            limits = _limits(found, self._meant(schema)) if has_limits else ""
            return replace(made, limits=limits, nullable=_is_nullable(found))
        except _UNREADABLE:
            return Field(path=path, label=name, kind=Kind.JSON, required=required)

    def label(self, name: str) -> str:
        return name

    def is_long(self, schema: Schema) -> bool:
        return bool(schema.get("maxLength", 0) > _LONG_TEXT)


def _limits(schema: Schema, meant: Schema) -> str:
    kind = meant.get("format") or meant.get("type")
    parts = [kind] if isinstance(kind, str) else []
    parts += [f"{word} {json_text.dumps(meant[key])}" for key, word in _LIMITS if key in meant]
    default = schema.get("default")
    parts += [] if default is None else [f"default {json_text.dumps(default)}"]
    return ", ".join(parts)


def _is_nullable(schema: Schema) -> bool:
    kinds = schema.get("type")
    among = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return {"type": "null"} in among or (isinstance(kinds, list) and "null" in kinds)
