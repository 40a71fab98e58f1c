"""Key-value tables and registrations for `def` handlers.

Made from `kv.py` and `tasks.py` by `python -m tests.sdk.sync_half`: edit these, and run it again.
"""

from collections.abc import Callable, Iterable
from typing import Any

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.operations import Commuting
from rota.domain.primitives.json.unset import UNSET
from rota.sdk import kv_operations
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.kv_operations import Ttl, to_ttl, to_type
from rota.sdk.kv_sources import OtherTableAccess, OwnTableAccess, Source, TableAccess
from rota.sdk.tasks import Schedule, declared


class SyncKvTable:
    """The key-value table of a task, for `async` handlers. Reads see one snapshot and this run's own writes."""

    def __init__(self, table: TableAccess) -> None:
        self._table = table

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key` (bytes if it is not JSON), or `default`."""
        return self._loaded().get(key, default)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of the keys that exist."""
        return self._loaded().get_many(keys)

    def version(self, key: str) -> int | None:
        """Return the version of an entry; None if it does not exist, or this run has written it."""
        return self._loaded().version(key)

    def keys(self, prefix: str = "", start: str = "", end: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, from `start` to before `end`, sorted."""
        return self._loaded().keys(prefix, start, end)

    def items(self, prefix: str = "", start: str = "", end: str = "") -> list[tuple[str, Any]]:
        """Return (key, value) of the entries with these keys, sorted by key."""
        return list(self._loaded().items(prefix, start, end))

    def set(
        self, key: str, value: Any, *, ttl: Ttl = None, content_type: str | None = None
    ) -> None:
        """Write any JSON value, or bytes of a `content_type`; it expires after `ttl`, if that is given."""
        self._to_write().set(key, value, to_ttl(ttl), to_type(content_type))

    def set_once(
        self, key: str, value: Any, *, ttl: Ttl = None, content_type: str | None = None
    ) -> bool:
        """Write a value if the key does not exist; return whether it was written."""
        return self._to_change().set_once(key, value, to_ttl(ttl), to_type(content_type))

    def expire(self, key: str, ttl: Ttl) -> None:
        """Let an entry expire `ttl` after the commit (None: never); raises Invalid if it does not exist."""
        self._to_change().expire(key, to_ttl(ttl))

    def delete(self, key: str) -> None:
        """Delete `key`, if it exists."""
        self._to_write().delete(key)

    def delete_prefix(self, prefix: str) -> int:
        """Delete the entries whose keys begin with `prefix`; return how many."""
        return self._to_change().delete_prefix(prefix)

    def increment(self, key: str, by: float = 1) -> Any:
        """Add to a number (0 if there is no entry); return the sum as this run sees it. It causes no conflict."""
        return self._result_of(kv_operations.increment(key, by))

    def append(self, key: str, value: Any, max_length: int | None = None) -> Any:
        """Append to a list, and keep its last `max_length` items; return it. It causes no conflict."""
        return self._result_of(kv_operations.append(key, value, max_length))

    def max(self, key: str, value: float | str) -> Any:
        """Write a number or a text if it is greater than the entry; return the greater. It causes no conflict."""
        return self._result_of(kv_operations.raise_to(key, value))

    def check(
        self, key: str, *, version: int | None = None, value: Any = UNSET, absent: bool = False
    ) -> None:
        """Raise CheckFailed unless the entry has this version, has this value, or (`absent`) does not exist.

        It must still hold when the run's writes commit; otherwise that is a conflict.
        """
        kv_operations.check(self._to_change(), key, version, value, absent=absent)

    def commute(self, operation: Commuting) -> None:
        """Execute an operation that causes no conflict, without returning the value: reading a long list takes time."""
        self._to_change().commute(operation)

    def _result_of(self, operation: Commuting) -> Any:
        self.commute(operation)
        return self.get(operation.key)

    def _loaded(self) -> KvDraft:
        while (draft := self._table.loaded()) is None:
            self._table.load()
        return draft

    def _to_write(self) -> KvDraft:
        if not self._table.unread:
            self._loaded()
        return self._table.to_write()

    def _to_change(self) -> KvDraft:
        self._loaded()
        return self._table.to_write()


class SyncKv(SyncKvTable):
    """The table of the run's own task. Writes commit with the run's success, or not at all."""

    def __init__(self, draft: AttemptDraft, source: Source, task: str) -> None:
        super().__init__(OwnTableAccess(draft, source))
        self._draft = draft
        self._source = source
        self._task = task

    def of(self, task: str) -> SyncKvTable:
        """Return the table of another task: reads see its state at the first read, writes need its `kv_grants`.

        Writes to it commit together with those to the own table. The use of the table raises NotFound if there is no
        such task.
        """
        if task == self._task:
            return self
        return SyncKvTable(OtherTableAccess(self._draft, self._source, self._task, task))

    @property
    def max_value_bytes(self) -> int:
        """How many bytes a value may have."""
        return self._draft.kv.limit

    def hold(self) -> None:
        """Make writes conflict with all changes since this attempt began, even if the table is read later.

        For handlers that decide what to write without reading the table.
        """
        self._draft.kv.hold()

    def draft(self, *, reads: bool) -> KvDraft:
        """Return the writes of this attempt so far, to which a built-in handler adds; `reads`: it sees the entries."""
        return self._to_change() if reads else self._to_write()

    def commit(self) -> None:
        """Commit a checkpoint: all writes so far, to every table, while the run continues.

        Later reads see a new snapshot, and the run's success commits only later writes. Raises KvConflict or KvRefused
        if the writes cannot be committed, and LeaseLost if this attempt does not hold the run any more. The attempt
        then ends with that outcome, whatever the handler does.
        """
        writes = self._draft.begin_commit()
        if writes is not None:
            self._draft.end_commit(self._source.commit_kv(writes))


class SyncTasks:
    """Registers tasks with the success of a `def` handler's run."""

    def __init__(self, draft: AttemptDraft) -> None:
        self._draft = draft

    def register(
        self,
        *,
        name: str,
        handler: str | Callable[..., Any],
        schedule: Schedule,
        on_conflict: str = "update",
        **fields: Any,
    ) -> None:
        """Register a task when, and only when, this run succeeds; fields as in `POST /v1/tasks`, `input` among them.

        Raises ValueError, with a pointer to the fault, if the fields are invalid. Faults that only the database
        shows fail the attempt at its end, and none of its changes is kept: a name that is taken
        (`on_conflict="reject"`), a handler that no replica has, an input that the handler does not accept.
        """
        self._draft.register(declared(name, handler, schedule, on_conflict, fields))
