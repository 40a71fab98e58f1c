"""Stored JSON in a response: inserted as text, not parsed and encoded again."""

import json
from secrets import token_hex
from typing import Any, Never

from rota.errors import MalformedJson

_FORM: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}


def _refuse(name: str) -> Never:
    raise ValueError(f"{name} is not a JSON number")


_CHECK = json.JSONDecoder(parse_constant=_refuse)


class StoredJson:
    """A value as its stored text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """Take the text; raises MalformedJson if it is not JSON, as in a row that was changed without Rota."""
        try:
            _CHECK.decode(text)
        except (ValueError, RecursionError) as error:
            raise MalformedJson(f"What is stored is not JSON: {error}."[:300]) from None
        self.text = text


def put_stored(shown: dict[str, Any], field: str, text: str | bytes | None) -> None:
    """Add stored JSON to a response; invalid JSON becomes null, and its field is listed in `unreadable`."""
    if text is None:
        return
    try:
        shown[field] = StoredJson(text if isinstance(text, str) else text.decode())
    except (MalformedJson, UnicodeDecodeError):
        shown[field] = None
        shown.setdefault("unreadable", []).append(field)


def render(value: Any) -> str:
    """Return JSON text with the stored texts in their places."""
    texts: list[str] = []
    # A text that no value can have in it.
    mark = token_hex(16)

    def take(stored: Any) -> str:
        if not isinstance(stored, StoredJson):
            raise TypeError(f"not a JSON value: {type(stored).__name__}")
        texts.append(stored.text)
        return mark

    around = json.JSONEncoder(**_FORM, default=take).encode(value)
    if not texts:
        return around
    parts = around.split(f'"{mark}"')
    return "".join(part for pair in zip(parts, [*texts, ""], strict=True) for part in pair)
