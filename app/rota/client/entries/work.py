"""The key-value table of the task, as the handler of a worker sees it."""

from collections.abc import Iterator
from typing import Any

from rota.client.entries.draft import KvWrites
from rota.client.errors import RotaError
from rota.client.models.work import LeasedRun
from rota.client.wire import UNSET


class KvTruncated(RotaError, LookupError):
    """The entry may exist, but the table was too large to be handed out: name its key in `kv` of the worker."""


class WorkKv(KvWrites):
    """The entries of the moment of the lease, and the writes so far, which commit with the success of the run.

    If somebody else has changed an entry meanwhile that is set or deleted here, the attempt is repeated.
    """

    def __init__(self, leased: LeasedRun) -> None:
        super().__init__()
        self._stored = leased.kv
        self._is_truncated = leased.kv_truncated

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
