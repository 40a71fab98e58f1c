"""The key-value tables of tasks, as handlers see them: `Kv` for `async` ones, `SyncKv` for the others."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.operations import Commuting
from rota.domain.primitives.unset import UNSET
from rota.sdk import kv_operations
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.kv_operations import Ttl, to_ttl, to_type
from rota.sdk.kv_sources import OtherPlace, OwnPlace, Place, Source

T = TypeVar("T")


class Aside(Protocol):
    """Has a call that may block done elsewhere."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class KvTable:
    """The key-value table of a task, for `async` handlers. Reads see one snapshot and this run's own writes."""

    def __init__(self, place: Place, aside: Aside) -> None:
        self._place = place
        self._aside = aside

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key` (bytes if it is not JSON), or `default`."""
        return (await self._loaded()).get(key, default)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those of the keys that are there."""
        return (await self._loaded()).get_many(keys)

    async def version(self, key: str) -> int | None:
        """Return the version of an entry; None if it is not there, or this run has written it."""
        return (await self._loaded()).version(key)

    async def keys(self, prefix: str = "", start: str = "", end: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, from `start` on, before `end`, in order."""
        return (await self._loaded()).keys(prefix, start, end)

    async def items(
        self, prefix: str = "", start: str = "", end: str = ""
    ) -> list[tuple[str, Any]]:
        """Return (key, value) of these entries, in the order of the keys."""
        return list((await self._loaded()).items(prefix, start, end))

    async def set(
        self, key: str, value: Any, *, ttl: Ttl = None, content_type: str | None = None
    ) -> None:
        """Write any JSON value, or bytes of a `content_type`, for `ttl` or for good."""
        (await self._to_write()).set(key, value, to_ttl(ttl), to_type(content_type))

    async def set_once(
        self, key: str, value: Any, *, ttl: Ttl = None, content_type: str | None = None
    ) -> bool:
        """Write a value if there is none; return whether it was written."""
        return (await self._to_change()).set_once(key, value, to_ttl(ttl), to_type(content_type))

    async def expire(self, key: str, ttl: Ttl) -> None:
        """Have an entry expire `ttl` after the commit (None: never); raises Invalid if it is not there."""
        (await self._to_change()).expire(key, to_ttl(ttl))

    async def delete(self, key: str) -> None:
        """Remove `key`, if it is there."""
        (await self._to_write()).delete(key)

    async def delete_prefix(self, prefix: str) -> int:
        """Remove the entries whose keys begin with `prefix`; return how many."""
        return (await self._to_change()).delete_prefix(prefix)

    async def increment(self, key: str, by: float = 1) -> Any:
        """Add to a number (no entry counts as 0); return the sum as this run sees it. Meets no conflict."""
        return await self._seen_after(kv_operations.increment(key, by))

    async def append(self, key: str, value: Any, max_length: int | None = None) -> Any:
        """Add to a list, of which the last `max_length` items are kept; return it. Meets no conflict."""
        return await self._seen_after(kv_operations.append(key, value, max_length))

    async def max(self, key: str, value: float | str) -> Any:
        """Write a number or a text if it is greater than what is there; return the greater. Meets no conflict."""
        return await self._seen_after(kv_operations.raise_to(key, value))

    async def check(
        self, key: str, *, version: int | None = None, value: Any = UNSET, absent: bool = False
    ) -> None:
        """Raise CheckFailed unless the entry has this version, this value, or (`absent`) is not there.

        If it is not so any more when the run's writes commit, that is a conflict.
        """
        kv_operations.check((await self._to_change()), key, version, value, absent=absent)

    async def commute(self, operation: Commuting) -> None:
        """Do what meets no conflict, without a look at what comes of it: to read a long list takes its time."""
        (await self._to_change()).commute(operation)

    async def _seen_after(self, operation: Commuting) -> Any:
        await self.commute(operation)
        return await self.get(operation.key)

    async def _loaded(self) -> KvDraft:
        while (draft := self._place.loaded()) is None:
            await self._aside(self._place.load)
        return draft

    async def _to_write(self) -> KvDraft:
        if not self._place.unread:
            await self._loaded()
        return self._place.to_write()

    async def _to_change(self) -> KvDraft:
        await self._loaded()
        return self._place.to_write()


class Kv(KvTable):
    """The table of the run's own task. Writes commit with the run's success, or not at all."""

    def __init__(self, draft: AttemptDraft, source: Source, task: str, aside: Aside) -> None:
        super().__init__(OwnPlace(draft, source), aside)
        self._draft = draft
        self._source = source
        self._task = task

    def of(self, task: str) -> KvTable:
        """Return the table of another task: read as it was at the first look, written to if its `kv_grants` say so.

        What is written there commits together with what is written here. A task that is not there raises NotFound
        when the table is used.
        """
        if task == self._task:
            return self
        return KvTable(OtherPlace(self._draft, self._source, self._task, task), self._aside)

    @property
    def max_value_bytes(self) -> int:
        """How many bytes a value may have."""
        return self._draft.kv.limit

    def hold(self) -> None:
        """Have writes conflict with all that came since this attempt began, however late its table is read.

        For who decides what to write without a look at the table.
        """
        self._draft.kv.hold()

    async def commit(self) -> None:
        """Make a check-point: commit what was written so far, to every table, while the run goes on.

        Reads then see a new snapshot, and the run's success commits only what is written from here on. Raises
        KvConflict or KvRefused if the writes cannot be kept, and LeaseLost if the run is not this attempt's any more:
        the attempt ends so, whatever the handler does then.
        """
        work = self._draft.begin_commit()
        if work is not None:
            self._draft.end_commit(await self._aside(lambda: self._source.commit_kv(work)))


class SyncKvTable:
    """The same for `def` handlers."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key` (bytes if it is not JSON), or `default`."""
        return self._loaded().get(key, default)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those of the keys that are there."""
        return self._loaded().get_many(keys)

    def version(self, key: str) -> int | None:
        """Return the version of an entry; None if it is not there, or this run has written it."""
        return self._loaded().version(key)

    def keys(self, prefix: str = "", start: str = "", end: str = "") -> list[str]:
        """Return the keys that begin with `prefix`, from `start` on, before `end`, in order."""
        return self._loaded().keys(prefix, start, end)

    def items(self, prefix: str = "", start: str = "", end: str = "") -> list[tuple[str, Any]]:
        """Return (key, value) of these entries, in the order of the keys."""
        return list(self._loaded().items(prefix, start, end))

    def set(
        self, key: str, value: Any, *, ttl: Ttl = None, content_type: str | None = None
    ) -> None:
        """Write any JSON value, or bytes of a `content_type`, for `ttl` or for good."""
        self._to_write().set(key, value, to_ttl(ttl), to_type(content_type))

    def set_once(
        self, key: str, value: Any, *, ttl: Ttl = None, content_type: str | None = None
    ) -> bool:
        """Write a value if there is none; return whether it was written."""
        return self._to_change().set_once(key, value, to_ttl(ttl), to_type(content_type))

    def expire(self, key: str, ttl: Ttl) -> None:
        """Have an entry expire `ttl` after the commit (None: never); raises Invalid if it is not there."""
        self._to_change().expire(key, to_ttl(ttl))

    def delete(self, key: str) -> None:
        """Remove `key`, if it is there."""
        self._to_write().delete(key)

    def delete_prefix(self, prefix: str) -> int:
        """Remove the entries whose keys begin with `prefix`; return how many."""
        return self._to_change().delete_prefix(prefix)

    def increment(self, key: str, by: float = 1) -> Any:
        """Add to a number (no entry counts as 0); return the sum as this run sees it. Meets no conflict."""
        return self._seen_after(kv_operations.increment(key, by))

    def append(self, key: str, value: Any, max_length: int | None = None) -> Any:
        """Add to a list, of which the last `max_length` items are kept; return it. Meets no conflict."""
        return self._seen_after(kv_operations.append(key, value, max_length))

    def max(self, key: str, value: float | str) -> Any:
        """Write a number or a text if it is greater than what is there; return the greater. Meets no conflict."""
        return self._seen_after(kv_operations.raise_to(key, value))

    def check(
        self, key: str, *, version: int | None = None, value: Any = UNSET, absent: bool = False
    ) -> None:
        """Raise CheckFailed unless the entry has this version, this value, or (`absent`) is not there.

        If it is not so any more when the run's writes commit, that is a conflict.
        """
        kv_operations.check(self._to_change(), key, version, value, absent=absent)

    def commute(self, operation: Commuting) -> None:
        """Do what meets no conflict, without a look at what comes of it: to read a long list takes its time."""
        self._to_change().commute(operation)

    def _seen_after(self, operation: Commuting) -> Any:
        self.commute(operation)
        return self.get(operation.key)

    def _loaded(self) -> KvDraft:
        while (draft := self._place.loaded()) is None:
            self._place.load()
        return draft

    def _to_write(self) -> KvDraft:
        if not self._place.unread:
            self._loaded()
        return self._place.to_write()

    def _to_change(self) -> KvDraft:
        self._loaded()
        return self._place.to_write()


class SyncKv(SyncKvTable):
    """The same for `def` handlers."""

    def __init__(self, draft: AttemptDraft, source: Source, task: str) -> None:
        super().__init__(OwnPlace(draft, source))
        self._draft = draft
        self._source = source
        self._task = task

    def of(self, task: str) -> SyncKvTable:
        """Return the table of another task: read as it was at the first look, written to if its `kv_grants` say so.

        What is written there commits together with what is written here. A task that is not there raises NotFound
        when the table is used.
        """
        if task == self._task:
            return self
        return SyncKvTable(OtherPlace(self._draft, self._source, self._task, task))

    def commit(self) -> None:
        """Make a check-point: commit what was written so far, to every table, while the run goes on.

        Reads then see a new snapshot, and the run's success commits only what is written from here on. Raises
        KvConflict or KvRefused if the writes cannot be kept, and LeaseLost if the run is not this attempt's any more:
        the attempt ends so, whatever the handler does then.
        """
        work = self._draft.begin_commit()
        if work is not None:
            self._draft.end_commit(self._source.commit_kv(work))
