"""Writes to a key-value table that are collected, and what a reader sees of them."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from rota.client.wire import UNSET

#: Seconds, a text such as "1h", or a timedelta; None: never.
Ttl = float | str | timedelta | None

Operation = Mapping[str, Any]
Stored = Callable[[], Any]


def operation(name: str, key: str, **fields: Any) -> dict[str, Any]:
    """Return an operation of a transaction or an outcome, without the fields that are UNSET."""
    given = {field: value for field, value in fields.items() if value is not UNSET}
    return {"op": name, "key": key} | given


class KvDraft:
    """The operations so far. A value is UNSET where there is no entry."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._by_key: dict[str, list[Operation]] = {}

    def add(self, name: str, key: str, **fields: Any) -> None:
        """Add an operation."""
        added = operation(name, key, **fields)
        self.operations.append(added)
        self._by_key.setdefault(key, []).append(added)

    def needs_stored(self, key: str) -> bool:
        """Return whether what is stored matters for what `value` returns."""
        return not any(each["op"] in {"set", "delete"} for each in self._by_key.get(key, ()))

    def value(self, key: str, stored: Any) -> Any:
        """Return the value after the operations, of the one that is stored; raises TypeError if one is impossible."""
        value = stored
        for each in self._by_key.get(key, ()):
            value = _applied(each, value)
        return value

    def written(self) -> list[str]:
        """Return the keys with operations."""
        return list(self._by_key)


class KvWrites:
    """The writes of a transaction, a run or an outcome: they commit together, or not at all."""

    def __init__(self) -> None:
        self._draft = KvDraft()

    @property
    def operations(self) -> list[Operation]:
        """The writes so far."""
        return self._draft.operations

    def __setitem__(self, key: str, value: Any) -> None:
        """Write a value."""
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove an entry, if there is one."""
        self.delete(key)

    def set(self, key: str, value: Any, *, ttl: Ttl = UNSET) -> None:
        """Write any JSON, for `ttl` or for good."""
        self._draft.add("set", key, value=value, ttl=ttl)

    def set_once(self, key: str, value: Any, *, ttl: Ttl = UNSET) -> None:
        """Write a value if there is no entry."""
        self._draft.add("set_once", key, value=value, ttl=ttl)

    def delete(self, key: str) -> None:
        """Remove an entry, if there is one."""
        self._draft.add("delete", key)

    def increment(self, key: str, by: float = 1) -> None:
        """Add to a number; no entry counts as 0. Without a read of it, that conflicts with no other writer."""
        self._draft.add("increment", key, by=by)

    def append(self, key: str, value: Any, *, max_length: int = UNSET) -> None:
        """Append to a list, and keep its last `max_length` items; without a read of it, that conflicts with nobody."""
        self._draft.add("append", key, value=value, max_length=max_length)

    def max(self, key: str, value: float | str) -> None:
        """Write a number or a text if it is greater; without a read of it, that conflicts with nobody."""
        self._draft.add("max", key, value=value)

    def expire(self, key: str, ttl: Ttl) -> None:
        """Let an entry expire `ttl` after the commit; None: never."""
        self._draft.add("expire", key, ttl=ttl)


def _applied(operation: Operation, value: Any) -> Any:  # noqa: PLR0911  # one for each operation
    match operation["op"]:
        case "set":
            return operation["value"]
        case "delete":
            return UNSET
        case "set_once":
            return operation["value"] if value is UNSET else value
        case "increment":
            return (0 if value is UNSET else value) + operation["by"]
        case "append":
            items = [*([] if value is UNSET else value), operation["value"]]
            return items[-operation.get("max_length", len(items)) :]
        case "max":
            return operation["value"] if value is UNSET else max(value, operation["value"])
        case _:
            return value
