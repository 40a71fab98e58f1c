"""The key-value table of the task, as the handler of a worker sees it."""

from collections.abc import Iterator
from typing import Any

from rota.client.entries.draft import KvDraft, Operation, Ttl
from rota.client.errors import RotaError
from rota.client.models.work import LeasedRun
from rota.client.wire import UNSET


class KvTruncated(RotaError, LookupError):
    """The entry may exist, but the table was too large to be handed out: name its key in `kv` of the worker."""


class WorkKv:
    """The entries of the moment of the lease, and the writes so far, which commit with the success of the run.

    If somebody else has changed an entry meanwhile that is set or deleted here, the attempt is repeated.
    """

    def __init__(self, leased: LeasedRun) -> None:
        self._stored = leased.kv
        self._is_truncated = leased.kv_truncated
        self._draft = KvDraft()

    @property
    def operations(self) -> list[Operation]:
        """The writes so far."""
        return self._draft.operations

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or `default`; raises KvTruncated if that was not handed out."""
        stored = self._stored.get(key, UNSET)
        if stored is UNSET and self._is_truncated and self._draft.needs_stored(key):
            raise KvTruncated(f"{key!r} was not handed out: name it in `kv` of the worker")
        value = self._draft.value(key, stored)
        return default if value is UNSET else value

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key; raises KeyError."""
        value = self.get(key, UNSET)
        if value is UNSET:
            raise KeyError(key)
        return value

    def __contains__(self, key: str) -> bool:
        """Return whether there is an entry."""
        return self.get(key, UNSET) is not UNSET

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys that were handed out, or written."""
        return iter(sorted(key for key in {*self._stored, *self._draft.written()} if key in self))

    def __setitem__(self, key: str, value: Any) -> None:
        """Write a value."""
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove an entry, if there is one."""
        self.delete(key)

    def set(self, key: str, value: Any, *, ttl: Ttl = UNSET) -> None:
        """Write any JSON."""
        self._draft.add("set", key, value=value, ttl=ttl)

    def set_once(self, key: str, value: Any, *, ttl: Ttl = UNSET) -> None:
        """Write a value if there is no entry."""
        self._draft.add("set_once", key, value=value, ttl=ttl)

    def delete(self, key: str) -> None:
        """Remove an entry, if there is one."""
        self._draft.add("delete", key)

    def increment(self, key: str, by: float = 1) -> None:
        """Add to a number; that conflicts with nobody."""
        self._draft.add("increment", key, by=by)

    def append(self, key: str, value: Any, *, max_length: int = UNSET) -> None:
        """Append to a list, and keep its last `max_length` items; that conflicts with nobody."""
        self._draft.add("append", key, value=value, max_length=max_length)

    def max(self, key: str, value: float | str) -> None:
        """Write a number or a text if it is greater; that conflicts with nobody."""
        self._draft.add("max", key, value=value)

    def expire(self, key: str, ttl: Ttl) -> None:
        """Let an entry expire `ttl` after the commit; None: never."""
        self._draft.add("expire", key, ttl=ttl)
