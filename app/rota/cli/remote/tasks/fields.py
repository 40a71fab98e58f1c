"""Which fields of a task are its definition, and which only the service sets."""

from collections.abc import Mapping
from typing import Any

#: What the service sets, and a definition does not have; a test compares them with the OpenAPI document.
SET_BY_THE_SERVICE = frozenset(
    [
        "id",
        "status",
        "status_reason",
        "status_changed_at",
        "status_changed_by",
        "held_by",
        "generation",
        "next_fire_at",
        "last_run",
        "latest_runs",
        "last_success_at",
        "consecutive_failures",
        "created_at",
        "updated_at",
        "unreadable",
    ]
)
_REDACTED = "[redacted]"


def declared(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition of a task that was read, its name first; a paused one is registered as paused."""
    fields = {name: value for name, value in task.items() if name not in SET_BY_THE_SERVICE}
    paused = {"paused": True} if task.get("status") == "paused" else {}
    return {"name": fields.pop("name"), **fields, **paused}


def has_redacted(value: Any) -> bool:
    """Return whether a secret value was left out somewhere in a document."""
    match value:
        case str():
            return value == _REDACTED
        case dict():
            return any(map(has_redacted, value.values()))
        case list():
            return any(map(has_redacted, value))
        case _:
            return False
