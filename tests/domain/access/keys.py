"""Keys for tests."""

from datetime import UTC, datetime
from typing import Any

from rota.domain.access.keys import KeyId
from rota.domain.access.scopes import Scope
from rota.domain.access.stored_key import StoredKey


def stored(**fields: Any) -> StoredKey:
    """Return a key that is accepted, but for what is given."""
    defaults = {
        "id": KeyId("a" * 12),
        "name": "a key of tests",
        "scopes": frozenset({Scope.TASKS_READ}),
        "tasks": None,
        "queues": None,
        "rate": None,
        "max_tasks": None,
        "max_unfinished_runs": None,
        "max_kv_bytes": None,
        "expires_at": None,
        "created_at": datetime(2026, 3, 10, 12, tzinfo=UTC),
        "created_by": "cli",
        "rotated_at": None,
        "previous_until": None,
        "last_used_at": None,
        "revoked_at": None,
        "revoked_by": None,
        "digest": b"d" * 32,
        "previous_digest": None,
    }
    return StoredKey(**defaults | fields)
