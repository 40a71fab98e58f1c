"""The fields of a form: one for each member of a schema, named by its JSON pointer."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from markupsafe import Markup

from rota.domain.primitives.json import json_text

_CHOSEN: Final = re.compile(r"#[^/]*")
#: The form of a choice that is typed as JSON.
AS_JSON: Final = "json"
#: The form of an input that has a field for each member.
BY_FIELDS: Final = "fields"


class Kind(StrEnum):
    """How a member is typed."""

    TEXT = "text"
    LONG = "long"
    #: A number, or a text: what is no number is for the API to refuse.
    NUMBER = "number"
    DURATION = "duration"
    BOOLEAN = "boolean"
    SELECT = "select"
    #: One of several values that are not all texts: each is JSON.
    SELECT_JSON = "select_json"
    #: One value, or several with commas between them.
    VALUES = "values"
    #: A value in each line.
    LINES = "lines"
    #: `name: value` in each line.
    PAIRS = "pairs"
    JSON = "json"
    #: The members of an object that no other field is for, as one of JSON.
    REST = "rest"
    GROUP = "group"
    #: One of several forms; the field of the same name chooses.
    CHOICE = "choice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field; groups and choices have others in them."""

    path: str
    label: str
    kind: Kind
    hint: Markup = field(default_factory=Markup)
    #: What its schema allows, in a few words.
    limits: str = ""
    example: str = ""
    default: str = ""
    required: bool = False
    #: It may be null, which an empty field means if it is required.
    nullable: bool = False
    #: What can be chosen, with what is shown for it.
    options: tuple[tuple[str, str], ...] = ()
    fields: tuple["Field", ...] = ()
    #: Of a choice: the fields of each form.
    forms: tuple[tuple[str, "Field"], ...] = ()
    #: Of a choice: the member that names the form; none if a text stands in place of the object.
    tag: str | None = None
    #: It is an empty list or object if it is left out.
    is_empty_without: bool = False
    #: A text may be empty: it is sent as it is.
    may_be_empty: bool = False

    @property
    def pointer(self) -> str:
        """The JSON pointer of the member, which is the same in each form of a choice."""
        return pointer_of(self.path)

    @property
    def id(self) -> str:
        """The id of its element."""
        return "f" + re.sub(r"[^A-Za-z0-9_]", "-", self.path)

    @property
    def suggestions(self) -> str | None:
        """The id of the list of values that a text is completed from."""
        return "zones" if self.path.endswith("/timezone") else None

    @property
    def as_json(self) -> str:
        """The name of what says that a value of another shape is typed here, as JSON."""
        return f"{self.path}#as-{AS_JSON}"

    def chosen(self, typed: Mapping[str, str]) -> str:
        """Return which form of a choice was chosen; else the first, or that for JSON if some was typed."""
        names = [name for name, _ in self.options]
        given = typed.get(self.path, "")
        if given in names:
            return given
        has_json = AS_JSON in names and typed.get(f"{self.path}#{AS_JSON}")
        return AS_JSON if has_json else names[0]

    def all(self) -> Iterator["Field"]:
        """Yield it and the fields in it."""
        yield self
        for each in (*self.fields, *(form for _, form in self.forms)):
            yield from each.all()


def name_of(field: Field) -> str:
    """Return the name of the member that a field is for."""
    return json_text.unescape(pointer_of(field.path.rpartition("/")[2]))


def pointer_of(path: str) -> str:
    """Return the JSON pointer of the member that the field of a path is for."""
    return _CHOSEN.sub("", path)
