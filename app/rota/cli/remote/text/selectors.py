"""Selectors of tasks and runs on the command line: `tag=billing,eu name_prefix=shop-`."""

from collections.abc import Mapping, Sequence
from typing import Any

#: What a selector of tasks may have, and the field of the API that it becomes.
TASKS: Mapping[str, str] = {
    "tag": "tags",
    "all_tags": "all_tags",
    "handler": "handler",
    "queue": "queue",
    "status": "status",
    "name_prefix": "name_prefix",
}
#: What a selector of a hold may have.
HOLDS: Mapping[str, str] = {"tag": "tags", "queue": "queues", "name_prefix": "name_prefix"}
_TEXTS = frozenset(["name_prefix"])


class SelectorError(Exception):
    """A selector cannot be read; `str()` says what is right."""


def parse_selector(texts: Sequence[str], fields: Mapping[str, str] = TASKS) -> dict[str, Any]:
    """Return the selector of the API for texts such as `tag=a,b`, which are AND-ed; `all` selects everything.

    Values of one name are OR-ed, whether they are separated by commas or the name is given again. Raises SelectorError.
    """
    if list(texts) == ["all"]:
        return {"all": True}
    found: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or name not in fields or not value:
            raise SelectorError(_advice(text, fields))
        _add(found, fields[name], value, text)
    if not found:
        raise SelectorError("Select something, or 'all'.")
    return found


def as_query(selected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters of a list for a selector: a list says `tag` for `tags`, and needs no `all`."""
    return {
        "tag" if name == "tags" else name: value
        for name, value in selected.items()
        if name != "all"
    }


def _add(found: dict[str, Any], field: str, value: str, text: str) -> None:
    if field in _TEXTS:
        if field in found:
            raise SelectorError(f"{text!r}: give {field} once.")
        found[field] = value
        return
    values = value.split(",")
    if not all(values):
        raise SelectorError(f"{text!r} has an empty value.")
    found[field] = [*found.get(field, []), *values]


def _advice(text: str, fields: Mapping[str, str]) -> str:
    known = ", ".join(f"{each}=…" for each in fields)
    return f"{text!r} is no selector: give {known}, or 'all' alone."
