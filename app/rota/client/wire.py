"""What goes over the wire: JSON texts, paths and queries."""

import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from pydantic import BaseModel

JSON = "application/json"


class _Unset:
    """The type of `UNSET`: None is a value that can be sent."""

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Any = _Unset()


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that were given; a `_` at the end of a name is left out (`from_`)."""
    return {name.rstrip("_"): value for name, value in fields.items() if value is not UNSET}


def encode(value: Any) -> bytes:
    """Return JSON text; raises ValueError or TypeError for what JSON cannot carry.

    Datetimes must know their zone; timedeltas become seconds, models their fields.
    """
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
    )
    return text.encode()


def decode(content: bytes) -> Any:
    """Return the value of a JSON text: integers of any length are exact; raises ValueError."""
    return json.loads(content)


def instant(at: datetime) -> str:
    """Return a time as RFC 3339; raises ValueError if it does not know its zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at!r} does not know its zone: give it a tzinfo, such as datetime.UTC")
    return at.isoformat()


def path(*parts: str) -> str:
    """Return the path below `/v1` that has these parts, escaped; raises ValueError for one that leads elsewhere."""
    for part in parts:
        if part in {"", ".", ".."}:
            raise ValueError(f"{part!r} is no name")
    return "/v1/" + "/".join(quote(part, safe="~") for part in parts)


def query(parameters: Mapping[str, Any]) -> str:
    """Return the text of a query, without what is None; several values are repeated."""
    pairs = [
        (name.rstrip("_"), _text(each))
        for name, value in parameters.items()
        for each in (value if _is_list(value) else [value])
        if each is not None and each is not UNSET
    ]
    return urlencode(pairs)


def _is_list(value: Any) -> bool:
    return isinstance(value, (Sequence, AbstractSet)) and not isinstance(value, (str, bytes))


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime() | date() | timedelta() | Enum() | UUID():
            return str(_plain(value))
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    for kind, plain in _PLAIN.items():
        if isinstance(value, kind):
            return plain(value)
    raise TypeError(f"JSON cannot carry a {type(value).__name__}: {value!r}")


# A datetime is a date as well: the first that fits counts.
_PLAIN: Mapping[type, Callable[[Any], Any]] = {
    datetime: instant,
    date: date.isoformat,
    timedelta: timedelta.total_seconds,
    Enum: lambda member: member.value,
    UUID: str,
    BaseModel: lambda model: model.model_dump(by_alias=True, exclude_unset=True),
    AbstractSet: sorted,
    Mapping: dict,
}


def keyed(idempotency_key: str | None) -> dict[str, str]:
    """Return the header that makes a repetition harmless, if a key was chosen."""
    return {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}


def conditional(if_match: str | None, *, if_absent: bool = False) -> dict[str, str]:
    """Return the headers of a precondition: an ETag, or that nothing exists."""
    match = {} if if_match is None else {"If-Match": if_match}
    return match | ({"If-None-Match": "*"} if if_absent else {})
