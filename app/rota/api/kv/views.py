"""Entries of a task's kv as JSON."""

from base64 import b64encode
from typing import Any

from rota.api.http.formats import show_instant
from rota.domain.kv.entries import KvEntry
from rota.domain.kv.present import JSON_TYPE
from rota.domain.primitives.instants import format_instant
from rota.domain.primitives.stored_json import put_stored


def show_entry(entry: KvEntry, *, with_value: bool = True) -> dict[str, Any]:
    """Return an entry of a task's key-value table; a value that is not JSON as base64."""
    shown: dict[str, Any] = {"key": entry.key}
    if with_value:
        shown |= _value(entry)
    else:
        shown |= {"content_type": entry.content_type, "size": entry.size}
    shown |= {
        "version": entry.version,
        "updated_at": format_instant(entry.updated_at),
        "updated_by": entry.updated_by,
        "expires_at": show_instant(entry.expires_at),
    }
    return shown if entry.attempt is None else shown | {"attempt": entry.attempt}


def _value(entry: KvEntry) -> dict[str, Any]:
    if entry.sealed:
        return {"value": None, "unreadable": ["value"]}
    if entry.content_type == JSON_TYPE:
        shown: dict[str, Any] = {}
        put_stored(shown, "value", entry.value)
        return shown
    encoded = b64encode(entry.value).decode()
    return {"value": encoded, "encoding": "base64", "content_type": entry.content_type}
