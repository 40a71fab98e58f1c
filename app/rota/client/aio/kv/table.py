"""The key-value table of a task, over HTTP."""

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Any

from rota.client import wire
from rota.client.aio.concurrency import current, sleep
from rota.client.aio.kv.face import AsyncKvFace
from rota.client.aio.kv.transfer import AsyncKvTransfer
from rota.client.aio.pages import AsyncPages
from rota.client.aio.streams import AsyncEventSource, AsyncStream
from rota.client.aio.transport import AsyncTransport
from rota.client.entries.draft import Operation, Ttl, operation
from rota.client.entries.values import conflict_in, value_of, written_since
from rota.client.errors import ProblemError
from rota.client.event import Event, event_of
from rota.client.models.kv import KvEntry, KvVersion
from rota.client.problems import KvConflict, NotFound, PreconditionFailed
from rota.client.retries import Repeat, backoff
from rota.client.wire import UNSET

_MOST_UPDATES = 20
# A time to come means now, but says which revision that is.
_NOW = "8999-12-31T00:00:00Z"


class AsyncKv(AsyncKvTransfer, AsyncKvFace):
    """The entries of a task by key. Each call is a request, and each write a commit."""

    def __init__(self, transport: AsyncTransport, task: str) -> None:
        super().__init__(transport, task)
        self.task = task

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, bytes if it is not JSON; `default` if there is no entry."""
        entry = await self.entry(key)
        return default if entry is None else value_of(entry)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of the keys that exist, of one moment."""
        wanted = list(keys)
        found = await self._list(keys=wanted).all() if wanted else []
        return {entry.key: value_of(entry) for entry in found}

    async def entry(self, key: str) -> KvEntry | None:
        """Return an entry with its version; None if there is none. Raises NotFound if there is no task."""
        return await self._list(keys=[key]).first()

    async def entry_at(self, key: str, revision: int | None) -> tuple[KvEntry | None, int | None]:
        """Return an entry as it was at a revision of the table (None: now), and that revision.

        Raises KvConflict if that is not known any more, because the entry was written since.
        """
        if key.startswith("_"):  # those of Rota itself have no history
            return await self.entry(key), revision
        page = await self._list(keys=[key], at=_NOW if revision is None else revision).page()
        if key in (page.members.get("missing") or ()):
            raise written_since(key)
        return next(iter(page.items), None), page.members["revision"]

    async def contains(self, key: str) -> bool:
        """Return whether there is an entry."""
        return await self._list(keys=[key], include="keys").first() is not None

    async def keys(self, prefix: str = "", *, start: str = "", end: str = "") -> AsyncIterator[str]:
        """Iterate over the keys that begin with `prefix`, from `start` to before `end`, in order."""
        async for entry in self._list(prefix=prefix, start=start, end=end, include="keys"):
            yield entry.key

    async def items(
        self, prefix: str = "", *, start: str = "", end: str = ""
    ) -> AsyncIterator[tuple[str, Any]]:
        """Iterate over (key, value), in the order of the keys."""
        async for entry in self.entries(prefix, start=start, end=end):
            yield entry.key, value_of(entry)

    def entries(
        self,
        prefix: str = "",
        *,
        start: str = "",
        end: str = "",
        at: datetime | str | int | None = None,
    ) -> AsyncPages[KvEntry]:
        """List the entries with their versions; `at`: of a time, before a run (its id), or of a revision."""
        return self._list(prefix=prefix, start=start, end=end, at=at)

    async def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: Ttl = UNSET,
        if_version: int = UNSET,
        content_type: str | None = None,
    ) -> KvEntry:
        """Write any JSON, or bytes of a content type; return the entry.

        `if_version`: only if this is the version of the entry, 0 if there must be none; raises KvConflict otherwise.
        """
        if isinstance(value, (bytes, bytearray)):
            return await self._set_bytes(key, bytes(value), ttl, if_version, content_type)
        change = operation("set", key, value=value, ttl=ttl)
        return (await self.apply([*_checks(key, if_version), change]))[0]

    async def set_once(self, key: str, value: Any, *, ttl: Ttl = UNSET) -> Any:
        """Write a value if there is no entry; return the value that is there then."""
        return value_of((await self.apply([operation("set_once", key, value=value, ttl=ttl)]))[0])

    async def delete(self, key: str, *, if_version: int = UNSET) -> bool:
        """Remove an entry; return whether there was one. `if_version`: as for `set`."""
        if if_version is not UNSET:
            await self.apply([*_checks(key, if_version), operation("delete", key)])
            return if_version != 0
        try:
            await self._transport.call("DELETE", self._path(key))
        except NotFound:
            await self.contains(key)  # raises NotFound if it is the task that does not exist
            return False
        return True

    async def delete_prefix(self, prefix: str) -> int:
        """Remove the entries whose keys begin with `prefix`, in one commit; return how many."""
        reply = await self._transport.call("DELETE", self._path(), query={"prefix": prefix})
        return int(reply.fields["deleted"])

    async def increment(self, key: str, by: float = 1) -> Any:
        """Add to a number (0 if there is no entry); return the sum."""
        return (await self.apply([operation("increment", key, by=by)]))[0].value

    async def append(self, key: str, value: Any, *, max_length: int = UNSET) -> Any:
        """Append to a list, and keep its last `max_length` items; return the list."""
        change = operation("append", key, value=value, max_length=max_length)
        return (await self.apply([change]))[0].value

    async def max(self, key: str, value: float | str) -> Any:
        """Write a number or a text if it is greater than the present one; return the greater."""
        return (await self.apply([operation("max", key, value=value)]))[0].value

    async def expire(self, key: str, ttl: Ttl) -> KvEntry:
        """Let an entry expire `ttl` from now (None: never); raises OperationFailed if there is none."""
        return (await self.apply([operation("expire", key, ttl=ttl)]))[0]

    async def update(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace the value by what `function` returns of it (of `default` without an entry); return the new one.

        It is called again if somebody else has written in between; raises KvConflict after the 20th time.
        """
        for attempt in range(1, _MOST_UPDATES + 1):
            entry = await self.entry(key)
            value = await current(function(default if entry is None else value_of(entry)))
            try:
                version = 0 if entry is None else entry.version
                await self.set(key, value, if_version=version, ttl=UNSET)
            except KvConflict:
                if attempt == _MOST_UPDATES:
                    raise
                await sleep(backoff(attempt) / 10)
            else:
                return value
        raise AssertionError("the loop returns or raises")

    async def apply(self, operations: Iterable[Operation]) -> list[KvEntry]:
        """Execute operations in one commit, all or none; return the named entries, in the order of the operations.

        Raises KvConflict if a `check` has failed, OperationFailed if another one is not possible.
        """
        body = {"operations": list(operations)}
        path = wire.path("tasks", self.task, "kv", "transaction")
        repeat = Repeat.SAFE if _can_be_repeated(body["operations"]) else Repeat.UNSAFE
        try:
            reply = await self._transport.call("POST", path, body=body, repeat=repeat)
        except ProblemError as error:
            raise conflict_in(error, body["operations"]) from None
        return [KvEntry.of(each) for each in reply.fields["items"]]

    def history(self, key: str, *, page_size: int | None = None) -> AsyncPages[KvVersion]:
        """List the versions of an entry, the newest first."""
        path = f"{self._path(key)}/history"
        return AsyncPages(self._transport, path, {"page_size": page_size}, KvVersion)

    def watch(
        self, *keys: str, initial: bool = False, after: str | None = None
    ) -> AsyncStream[Event]:
        """Stream changes of the keys, or prefixes with `*` (none: all): `kv.set`, `kv.deleted`, `kv.reset`.

        `initial`: the present entries first, then `kv.ready`. It ends when the task is deleted.
        """
        query = {"watch": ",".join(keys) or "*", "initial": initial or None}
        source = AsyncEventSource(self._transport, self._path(), query, after=after)
        return AsyncStream(source, event_of, last="task.deleted")

    def _list(self, **parameters: Any) -> AsyncPages[KvEntry]:
        given = {name: value for name, value in parameters.items() if value != ""}
        return AsyncPages(self._transport, self._path(), given, KvEntry)

    async def _set_bytes(
        self, key: str, value: bytes, ttl: Ttl, if_version: int, content_type: str | None
    ) -> KvEntry:
        headers = {"Content-Type": content_type or "application/octet-stream"}
        headers |= await self._condition(key, if_version)
        repeat = Repeat.SAFE if if_version is UNSET else Repeat.UNSAFE
        path, query = self._path(key), {"ttl": ttl}
        try:
            reply = await self._transport.call(
                "PUT", path, query=query, content=value, headers=headers, repeat=repeat
            )
        except PreconditionFailed as error:
            raise KvConflict(error.status, error.members) from None
        return KvEntry.of(reply.fields)

    async def _condition(self, key: str, version: int) -> dict[str, str]:
        if version is UNSET:
            return {}
        if version == 0:
            return {"If-None-Match": "*"}
        try:
            reply = await self._transport.call("HEAD", self._path(key))
            table = reply.headers["etag"].strip('"').rpartition(".")[0]
        except NotFound:
            table = "0"  # matches nothing
        return {"If-Match": f'"{table}.{version}"'}


def _checks(key: str, version: int) -> list[Operation]:
    if version is UNSET:
        return []
    if version == 0:
        return [operation("check", key, absent=True)]
    return [operation("check", key, version=version)]


def _can_be_repeated(operations: list[Operation]) -> bool:
    """Return whether the same operations, executed again, change nothing more, and succeed again."""
    return all(each["op"] in {"set", "set_once", "delete", "max", "expire"} for each in operations)
