"""The key-value tables of tasks, as `async` handlers see them; `sync.py` is made from this file, for `def` handlers."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.operations import Commuting
from rota.domain.primitives.json.unset import UNSET
from rota.sdk import kv_operations
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.kv_operations import Ttl, to_ttl, to_type
from rota.sdk.kv_sources import OtherTableAccess, OwnTableAccess, Source, TableAccess

T = TypeVar("T")


class InThread(Protocol):
    """Calls a function that may block in another thread."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class KvTable:
    """The key-value table of a task, for `async` handlers. Reads see one snapshot and this run's own writes."""

    def __init__(self, table: TableAccess, in_thread: InThread) -> None:
        self._table = table
        self._in_thread = in_thread

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key` (bytes if it is not JSON), or `default`."""
        return (await self._loaded()).get(key, default)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of the keys that exist."""
        return (await self._loaded()).get_many(keys)

    async def version(self, key: str) -> int | None:
        """Return the version of an entry; None if it does not exist, or this run has written it."""
        return (await self._loaded()).version(key)

    async def keys(self, prefix: str = "", start: str = "", end: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, from `start` to before `end`, sorted."""
        return (await self._loaded()).keys(prefix, start, end)

    async def items(
        self, prefix: str = "", start: str = "", end: str = ""
    ) -> list[tuple[str, Any]]:
        """Return (key, value) of the entries with these keys, sorted by key."""
        return list((await self._loaded()).items(prefix, start, end))

    async def set(
        self, key: str, value: Any, *, ttl: Ttl = None, content_type: str | None = None
    ) -> None:
        """Write any JSON value, or bytes of a `content_type`; it expires after `ttl`, if that is given."""
        (await self._to_write()).set(key, value, to_ttl(ttl), to_type(content_type))

    async def set_once(
        self, key: str, value: Any, *, ttl: Ttl = None, content_type: str | None = None
    ) -> bool:
        """Write a value if the key does not exist; return whether it was written."""
        return (await self._to_change()).set_once(key, value, to_ttl(ttl), to_type(content_type))

    async def expire(self, key: str, ttl: Ttl) -> None:
        """Let an entry expire `ttl` after the commit (None: never); raises Invalid if it does not exist."""
        (await self._to_change()).expire(key, to_ttl(ttl))

    async def delete(self, key: str) -> None:
        """Delete `key`, if it exists."""
        (await self._to_write()).delete(key)

    async def delete_prefix(self, prefix: str) -> int:
        """Delete the entries whose keys begin with `prefix`; return how many."""
        return (await self._to_change()).delete_prefix(prefix)

    async def increment(self, key: str, by: float = 1) -> Any:
        """Add to a number (0 if there is no entry); return the sum as this run sees it. It causes no conflict."""
        return await self._result_of(kv_operations.increment(key, by))

    async def append(self, key: str, value: Any, max_length: int | None = None) -> Any:
        """Append to a list, and keep its last `max_length` items; return it. It causes no conflict."""
        return await self._result_of(kv_operations.append(key, value, max_length))

    async def max(self, key: str, value: float | str) -> Any:
        """Write a number or a text if it is greater than the entry; return the greater. It causes no conflict."""
        return await self._result_of(kv_operations.raise_to(key, value))

    async def check(
        self, key: str, *, version: int | None = None, value: Any = UNSET, absent: bool = False
    ) -> None:
        """Raise CheckFailed unless the entry has this version, has this value, or (`absent`) does not exist.

        It must still hold when the run's writes commit; otherwise that is a conflict.
        """
        kv_operations.check((await self._to_change()), key, version, value, absent=absent)

    async def commute(self, operation: Commuting) -> None:
        """Execute an operation that causes no conflict, without returning the value: reading a long list takes time."""
        (await self._to_change()).commute(operation)

    async def _result_of(self, operation: Commuting) -> Any:
        await self.commute(operation)
        return await self.get(operation.key)

    async def _loaded(self) -> KvDraft:
        while (draft := self._table.loaded()) is None:
            await self._in_thread(self._table.load)
        return draft

    async def _to_write(self) -> KvDraft:
        if not self._table.unread:
            await self._loaded()
        return self._table.to_write()

    async def _to_change(self) -> KvDraft:
        await self._loaded()
        return self._table.to_write()


class Kv(KvTable):
    """The table of the run's own task. Writes commit with the run's success, or not at all."""

    def __init__(self, draft: AttemptDraft, source: Source, task: str, in_thread: InThread) -> None:
        super().__init__(OwnTableAccess(draft, source), in_thread)
        self._draft = draft
        self._source = source
        self._task = task

    def of(self, task: str) -> KvTable:
        """Return the table of another task: reads see its state at the first read, writes need its `kv_grants`.

        Writes to it commit together with those to the own table. The use of the table raises NotFound if there is no
        such task.
        """
        if task == self._task:
            return self
        return KvTable(
            OtherTableAccess(self._draft, self._source, self._task, task), self._in_thread
        )

    @property
    def max_value_bytes(self) -> int:
        """How many bytes a value may have."""
        return self._draft.kv.limit

    def hold(self) -> None:
        """Make writes conflict with all changes since this attempt began, even if the table is read later.

        For handlers that decide what to write without reading the table.
        """
        self._draft.kv.hold()

    async def draft(self, *, reads: bool) -> KvDraft:
        """Return the writes of this attempt so far, to which a built-in handler adds; `reads`: it sees the entries."""
        return await (self._to_change() if reads else self._to_write())

    async def commit(self) -> None:
        """Commit a checkpoint: all writes so far, to every table, while the run continues.

        Later reads see a new snapshot, and the run's success commits only later writes. Raises KvConflict or KvRefused
        if the writes cannot be committed, and LeaseLost if this attempt does not hold the run any more. The attempt
        then ends with that outcome, whatever the handler does.
        """
        writes = self._draft.begin_commit()
        if writes is not None:
            self._draft.end_commit(await self._in_thread(lambda: self._source.commit_kv(writes)))
