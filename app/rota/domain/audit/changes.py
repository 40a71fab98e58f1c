"""What of a change is kept: the fields that differ, of secret values only digests, of large ones only the size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rota.domain.primitives.json import json_text

#: A subject as it is compared, field by field: JSON, with `Hidden` where a value is not shown.
State = Mapping[str, Any]

#: A field with more bytes of JSON is left out.
MOST_BYTES = 4_096
#: So many fields of one subject are kept, the keys of a kv among them.
MOST_FIELDS = 50
# A character takes six bytes of JSON at most. Integers may have thousands of digits.
_SCALARS = frozenset({bool, float, type(None)})
_SHORT = MOST_BYTES // 6 - 1
_LONG = 2**63


@dataclass(frozen=True, slots=True)
class Hidden:
    """A value that is compared and not shown; `place` is whose it is, so that equal values elsewhere differ.

    `plain` is None if it cannot be decrypted, or is not read.
    """

    place: str
    plain: bytes | None


@dataclass(frozen=True, slots=True)
class Change:
    """Fields of a subject before and after, with what differs only; None: there was, or is, no such subject."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None
    #: How many more fields differ than are kept.
    omitted: int = 0


Digest = Callable[[Hidden], str | None]


def difference(before: State | None, after: State | None, digest: Digest) -> Change | None:
    """Return what differs between two states of a subject, None if nothing does.

    `digest` returns what of a hidden value is kept, None for nothing. A field that only one of them has is on that
    side only.
    """
    old, new = before or {}, after or {}
    differing = _differing(old, new) if old and new else [*old, *new]
    if not differing and (before is None) == (after is None):
        return None
    kept = differing[:MOST_FIELDS]
    if old and new:
        old, new = _hidden_if_either_is(old, new, kept), _hidden_if_either_is(new, old, kept)
    return Change(
        None if before is None else _kept(old, kept, digest),
        None if after is None else _kept(new, kept, digest),
        len(differing) - len(kept),
    )


def _differing(old: State, new: State) -> list[str]:
    absent = object()
    return [name for name in {**old, **new} if old.get(name, absent) != new.get(name, absent)]


def _hidden_if_either_is(state: State, other: State, names: list[str]) -> State:
    """Return a state without what is secret from now on, or was until now: it may be the same value."""
    hidden = {
        name: Hidden(there.place, json_text.render(state[name]).encode())
        for name in names
        if name in state
        and isinstance(there := other.get(name), Hidden)
        and not isinstance(state[name], Hidden)
    }
    return {**state, **hidden}


def _kept(state: State, names: list[str], digest: Digest) -> dict[str, Any]:
    return {
        name: value if _is_small(value := state[name]) else _bounded(shown(value, digest))
        for name in names
        if name in state
    }


def _is_small(value: Any) -> bool:
    """Return whether a value is kept as it is, since it can be neither hidden nor too large."""
    if isinstance(value, str):
        return len(value) <= _SHORT
    kind = type(value)
    return kind in _SCALARS or (kind is int and abs(value) < _LONG)


def shown(value: Any, digest: Digest) -> Any:
    """Return a value as the log shows it."""
    match value:
        case Hidden():
            kept = digest(value)
            return {"redacted": True} | ({} if kept is None else {"digest": kept})
        case dict():
            return {name: shown(field, digest) for name, field in value.items()}
        case list():
            return [shown(item, digest) for item in value]
        case _:
            return value


def _bounded(value: Any) -> Any:
    size = len(json_text.render(value).encode())
    return value if size <= MOST_BYTES else {"omitted_bytes": size}
