"""Entries of a task's kv as JSON."""

from base64 import b64encode
from typing import Any, TypedDict, cast

from rota.api.http.formats import show_instant
from rota.api.kv.response_models import KvEntryOut
from rota.domain.kv.entries import KvEntry
from rota.domain.kv.present import JSON_TYPE
from rota.domain.primitives.json.stored_json import put_stored
from rota.domain.primitives.times.instants import format_instant


class _Value(TypedDict, total=False):
    value: Any
    encoding: str | None
    content_type: str | None
    size: int | None
    unreadable: list[str]
    attempt: int | None


def show_entry(entry: KvEntry, *, with_value: bool = True) -> KvEntryOut:
    """Return an entry of a task's key-value table; a value that is not JSON as base64."""
    shown: KvEntryOut = {
        "key": entry.key,
        **_value(entry, with_value=with_value),
        "version": entry.version,
        "updated_at": format_instant(entry.updated_at),
        "updated_by": entry.updated_by,
        "expires_at": show_instant(entry.expires_at),
    }
    if entry.attempt is not None:
        shown["attempt"] = entry.attempt
    return shown


def _value(entry: KvEntry, *, with_value: bool) -> _Value:
    if not with_value:
        return {"content_type": entry.content_type, "size": entry.size}
    if entry.sealed:
        return {"value": None, "unreadable": ["value"]}
    if entry.content_type == JSON_TYPE:
        shown: dict[str, Any] = {}
        put_stored(shown, "value", entry.value)
        return cast("_Value", shown)
    encoded = b64encode(entry.value).decode()
    return {"value": encoded, "encoding": "base64", "content_type": entry.content_type}
