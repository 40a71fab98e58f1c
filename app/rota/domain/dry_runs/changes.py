"""What differs between two states of a task, as JSON pointers (RFC 6901) with the values before and after."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rota.domain.audit.changes import MOST_BYTES, Hidden, State
from rota.domain.http_target.secret_headers import REDACTED
from rota.domain.primitives.json import json_text
from rota.domain.primitives.json.unset import UNSET, Unset

#: So many changes are shown.
MOST_CHANGES = 100


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that differs; UNSET: there is none on that side.

    Secret values are not in it, and large ones only as their size.
    """

    path: str
    before: Any | Unset
    after: Any | Unset


def changes_between(before: State, after: State) -> list[FieldChange]:
    """Return what differs, in the order of the fields. Objects are compared field by field, lists as a whole.

    What is secret on either side is shown on neither: it may be the same value.
    """
    return list(_of_object("", before, after))


def _of_object(path: str, before: State, after: State) -> Iterator[FieldChange]:
    for name in {**before, **after}:
        old, new = before.get(name, UNSET), after.get(name, UNSET)
        yield from _of_value(f"{path}/{json_text.escape(name)}", old, new)


def _of_value(path: str, old: Any, new: Any) -> Iterator[FieldChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _of_object(path, old, new)
    elif not _equal(old, new):
        hidden = isinstance(old, Hidden) or isinstance(new, Hidden)
        yield FieldChange(path, _shown(old, hidden=hidden), _shown(new, hidden=hidden))


def _equal(old: Any, new: Any) -> bool:
    """Return whether two values are equal as JSON; lists and scalars of definitions have no hidden ones within."""
    if isinstance(old, Hidden | Unset) or isinstance(new, Hidden | Unset):
        return bool(old == new)
    return json_text.equal(old, new)


def _shown(value: Any, *, hidden: bool) -> Any:
    if isinstance(value, Unset):
        return value
    if hidden and value is not None:
        return REDACTED
    shown = _without_secrets(value)
    size = len(json_text.render(shown).encode())
    return shown if size <= MOST_BYTES else {"omitted_bytes": size}


def _without_secrets(value: Any) -> Any:
    match value:
        case Hidden():
            return REDACTED
        case dict():
            return {name: _without_secrets(field) for name, field in value.items()}
        case list():
            return [_without_secrets(item) for item in value]
        case _:
            return value
