"""From a JSON Schema to the fields of a form: that of a registration, and those of handlers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from rota.domain.primitives.json import json_text
from rota.web.formats import prose
from rota.web.task_forms.fields import AS_JSON, Field, Kind
from rota.web.task_forms.texts import as_typed, text_of

Schema = Mapping[str, Any]

_SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
_LONG_TEXT: Final = 1_000
_LINE_OF_TEXT: Final = 4_000
_WORDS: Final = {"any_of": "any of several", "json": "as JSON"}
#: Members that are deeper, or of larger objects, are typed as JSON: a schema can have itself in it.
_MOST_DEEP: Final = 3
_MOST_HOPS: Final = 10
MOST_MEMBERS: Final = 100
_LABELS: Final = {
    "timezone": "Time zone",
    "url": "URL",
    "dst": "When the clocks change",
    "kv": "Entries of its key-value table",
    "paused": "Begin paused",
}


class FormMaker:
    """Makes fields from the schemas of a document, as our own models write them."""

    def __init__(self, document: Schema) -> None:
        """`document`: what references point into."""
        self._document = document

    def fields_of(self, path: str, schema: Schema, tag: str | None = None) -> tuple[Field, ...]:
        """Return the fields of an object, but for the member that names its form (`tag`)."""
        needed = frozenset(schema.get("required", ()))
        return tuple(
            self.field(f"{path}/{json_text.escape(name)}", name, member, required=name in needed)
            for name, member in schema.get("properties", {}).items()
            if name != tag
        )

    def field(self, path: str, name: str, schema: Schema, *, required: bool = False) -> Field:
        """Return the field of a member."""
        meant = self._meant(schema)
        default = meant.get("default")
        made = Field(
            path=path,
            label=self.label(name),
            kind=Kind.JSON,
            hint=prose(meant.get("description", "")),
            example=_example(meant),
            required=required,
            is_empty_without=default in ([], {}),
        )
        if path.count("/") > _MOST_DEEP or len(meant.get("properties", ())) > MOST_MEMBERS:
            return made
        made = self._with_kind(made, meant)
        if default in (None, "", [], {}) or made.kind in {Kind.GROUP, Kind.CHOICE}:
            return made
        default = text_of(made.kind, default)
        return replace(made, default=default, options=_with_default(made.options, default))

    def label(self, name: str) -> str:
        """Return what a member is called."""
        return _LABELS.get(name, name.replace("_", " ").capitalize())

    def is_long(self, schema: Schema) -> bool:
        """Return whether a text is typed on several lines."""
        return bool(_LONG_TEXT < schema.get("maxLength", 0) < _LINE_OF_TEXT)

    def _with_kind(self, made: Field, meant: Schema) -> Field:
        if "oneOf" in meant and "discriminator" in meant:
            return self._choice(made, meant)
        if "anyOf" in meant:
            return self._any_of(made, [self.resolved(each) for each in meant["anyOf"]])
        if "enum" in meant or "const" in meant:
            return _select(made, meant["enum"] if "enum" in meant else [meant["const"]])
        if meant.get("type") == "object":
            return self._object(made, meant)
        if meant.get("type") == "array":
            return replace(made, kind=_kind_of_list(self._meant(meant.get("items", {}))))
        return self._scalar(made, meant)

    def _object(self, made: Field, meant: Schema) -> Field:
        if "properties" in meant:
            return replace(made, kind=Kind.GROUP, fields=self.fields_of(made.path, meant))
        values = [*meant.get("patternProperties", {}).values(), meant.get("additionalProperties")]
        simple = all(isinstance(each, Mapping) and _is_scalar(each) for each in values if each)
        if not simple or not any(values):
            return made
        examples = meant.get("examples") or [{}]
        pairs = (f"{name}: {value}" for name, value in examples[0].items())
        return replace(made, kind=Kind.PAIRS, example=next(pairs, ""))

    def _choice(self, made: Field, meant: Schema) -> Field:
        mapping: Mapping[str, str] = meant["discriminator"]["mapping"]
        tag = meant["discriminator"]["propertyName"]
        forms = [
            (name, self._form(made, name, self.resolved({"$ref": reference}), tag))
            for name, reference in mapping.items()
        ]
        if made.required:
            forms.append((AS_JSON, replace(made, path=f"{made.path}#{AS_JSON}", kind=Kind.JSON)))
        none = () if made.required else (("", "none"),)
        options = (*none, *((name, _WORDS.get(name, name)) for name, _ in forms))
        return replace(made, kind=Kind.CHOICE, options=options, forms=tuple(forms), tag=tag)

    def _form(self, made: Field, name: str, schema: Schema, tag: str | None = None) -> Field:
        path = f"{made.path}#{name}"
        return Field(
            path=path,
            label=_WORDS.get(name, name).capitalize(),
            kind=Kind.GROUP,
            hint=prose(schema.get("description", "")),
            fields=self.fields_of(path, schema, tag),
        )

    def _any_of(self, made: Field, others: list[Schema]) -> Field:
        objects = [each for each in others if "properties" in each]
        texts = [each["const"] for each in others if "const" in each]
        if len(objects) == 1 and texts:
            form = replace(self._form(made, "set", objects[0]), label="Set")
            options = (("", "default"), *((text, text) for text in texts), ("set", "set"))
            return replace(made, kind=Kind.CHOICE, options=options, forms=(("set", form),))
        kinds = {each.get("type") for each in others}
        if kinds == {"number", "string"}:
            return replace(made, kind=Kind.DURATION)
        if "array" in kinds and all(_is_scalar(each) for each in others):
            return replace(made, kind=Kind.VALUES)
        if kinds <= _SCALARS:
            return replace(made, kind=Kind.NUMBER)
        return made

    def _scalar(self, made: Field, meant: Schema) -> Field:
        kind = meant.get("type")
        if kind == "string":
            long = self.is_long(meant) and "url" not in made.path
            may_be_empty = not meant.get("minLength")
            return replace(made, kind=Kind.LONG if long else Kind.TEXT, may_be_empty=may_be_empty)
        if kind == "boolean":
            return replace(made, kind=Kind.BOOLEAN)
        return replace(made, kind=Kind.NUMBER) if kind in _SCALARS else made

    def _meant(self, schema: Schema) -> Schema:
        """Return a schema without references at its top, and without null: an empty field stands for that."""
        found = _without_null(self.resolved(schema))
        options = [each for each in found.get("anyOf", ()) if each.get("type") != "null"]
        if "anyOf" not in found or len(options) == len(found["anyOf"]):
            return found
        own = {name: value for name, value in found.items() if name != "anyOf"}
        if len(options) > 1:
            return {**own, "anyOf": options}
        return {**self._meant(options[0]), **own}

    def resolved(self, schema: Schema) -> Schema:
        """Return a schema without references at its top; raises KeyError for one that leads nowhere."""
        for _ in range(_MOST_HOPS):
            if "$ref" not in schema:
                return schema
            own = {name: value for name, value in schema.items() if name != "$ref"}
            schema = {**self._at(schema["$ref"]), **own}
        raise KeyError("references lead in a circle")

    def _at(self, reference: str) -> Schema:
        found: Any = self._document
        for token in reference.removeprefix("#").split("/")[1:]:
            found = found[json_text.unescape(token)]
        return found  # type: ignore[no-any-return]


def _example(meant: Schema) -> str:
    examples = meant.get("examples") or ()
    return as_typed(examples[0]) if examples else ""


def _without_null(schema: Schema) -> Schema:
    kinds = schema.get("type")
    others = [each for each in kinds if each != "null"] if isinstance(kinds, list) else []
    return {**schema, "type": others[0]} if len(others) == 1 else schema


def _select(made: Field, values: list[Any]) -> Field:
    kind = Kind.SELECT if all(isinstance(each, str) for each in values) else Kind.SELECT_JSON
    options = tuple((text_of(kind, value), text_of(kind, value)) for value in values)
    return replace(made, kind=kind, example="", options=(("", "—"), *options))


def _with_default(
    options: tuple[tuple[str, str], ...], default: str
) -> tuple[tuple[str, str], ...]:
    return tuple(each if each[0] else ("", f"default: {default}") for each in options)


def _kind_of_list(items: Schema) -> Kind:
    return Kind.LINES if _is_scalar(items) or "anyOf" in items else Kind.JSON


def _is_scalar(schema: Schema) -> bool:
    if "anyOf" in schema:
        return all(_is_scalar(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return _is_scalar(schema.get("items", {}))
    return schema.get("type") in _SCALARS
