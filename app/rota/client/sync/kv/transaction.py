"""Several writes to a table in one commit, if nothing of what was read has changed."""

# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.

from types import TracebackType
from typing import Any, Self

from rota.client.entries.draft import KvWrites, Operation, operation
from rota.client.entries.values import value_of
from rota.client.models.kv import KvEntry
from rota.client.sync.kv.face import ValueFace
from rota.client.sync.kv.table import Kv
from rota.client.wire import UNSET


class KvTransaction(KvWrites, ValueFace):
    """Reads entries and collects writes; they are sent at the end of the `with`, unless it ends with an exception.

    All reads are of the moment of the first one. Each entry that was read is checked in the commit: if somebody else
    has written it since, nothing is written, and the end of the `with` raises KvConflict.
    """

    __iter__ = None  # what is read is checked, and the keys that there are cannot be

    def __init__(self, table: Kv) -> None:
        super().__init__()
        self._table = table
        self._read: dict[str, KvEntry | None] = {}
        self._revision: int | None = None
        #: The named entries after the commit.
        self.entries: list[KvEntry] = []

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, after the writes so far; `default` if there is no entry."""
        value = UNSET
        if self._draft.needs_stored(key):
            value = self._stored(key)
        value = self._draft.value(key, value)
        return default if value is UNSET else value

    def contains(self, key: str) -> bool:
        """Return whether there is an entry, after the writes so far."""
        return self.get(key, UNSET) is not UNSET

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None and self._draft.operations:
            self.entries = self._table.apply([*self._checks(), *self._draft.operations])

    def _stored(self, key: str) -> Any:
        if key not in self._read:
            self._read[key], self._revision = self._table.entry_at(key, self._revision)
        entry = self._read[key]
        return UNSET if entry is None else value_of(entry)

    def _checks(self) -> list[Operation]:
        return [
            operation("check", key, absent=True)
            if entry is None
            else operation("check", key, version=entry.version)
            for key, entry in self._read.items()
        ]
