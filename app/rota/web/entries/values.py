"""Values of kv entries as pages show them, and as they are typed."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rota.domain.primitives.json import json_text
from rota.web.formats import pretty_json

#: How a value is typed: as JSON, or as a text that becomes a JSON text or bytes with their own type.
AS_JSON: Final = "json"
AS_TEXT: Final = "text"

Entry = Mapping[str, Any]


class Shown(NamedTuple):
    """A value as a page shows it; `editable`: it can be typed."""

    type: str
    size: int | None
    text: str
    format: str = AS_JSON
    editable: bool = True


def show(entry: Entry) -> Shown:
    """Return the value of an entry, or of a version of it."""
    if entry.get("deleted"):
        return Shown("deleted", None, "", editable=False)
    if "value" not in entry:
        return Shown(entry.get("content_type") or "JSON", entry.get("size"), "", editable=False)
    if "unreadable" in entry:
        return Shown("unreadable", None, "", editable=False)
    if entry.get("encoding") == "base64":
        return _of_bytes(entry["content_type"], b64decode(entry["value"]))
    value = entry["value"]
    kind = json_text.kind_of(value).split()[-1]
    return Shown(kind, len(json_text.dumps(value).encode()), pretty_json(value))


def to_json(text: str, given_as: str) -> Any:
    """Return the JSON that was typed; raises AppError for what is no JSON."""
    return text if given_as == AS_TEXT else json_text.loads(text)


def _of_bytes(content_type: str, value: bytes) -> Shown:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    is_text = content_type.startswith("text/") and (bool(text) or not value) and "\r" not in text
    return Shown(content_type, len(value), text if is_text else "", AS_TEXT, editable=is_text)
