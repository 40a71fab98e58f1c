"""The key-value table of the run's task, as handlers see it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from app.domain.durations import parse_duration
from app.domain.kv import KvDraft, KvSnapshot


class Kv:
    """The task's key-value table, for `async` handlers. Reads see one snapshot and this run's own writes."""

    def __init__(self, draft: KvDraft, load: Callable[[], Awaitable[KvSnapshot]]) -> None:
        self._draft = draft
        self._load = load

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        return (await self._loaded()).get(key, default)

    async def items(self, prefix: str = "") -> list[tuple[str, Any]]:
        """Return (key, value) of every entry whose key starts with `prefix`, in the order of the keys."""
        return list((await self._loaded()).items(prefix))

    async def set(
        self, key: str, value: Any, *, ttl: float | str | timedelta | None = None
    ) -> None:
        """Write any JSON value, for `ttl` or for good; commits with the run's success or not at all."""
        self._draft.set(key, value, None if ttl is None else parse_duration(ttl))

    async def delete(self, key: str) -> None:
        """Remove `key`; commits with the run's success or not at all."""
        self._draft.delete(key)

    async def _loaded(self) -> KvDraft:
        if not self._draft.loaded:
            self._draft.load(await self._load())
        return self._draft


class SyncKv:
    """The same for `def` handlers."""

    def __init__(self, draft: KvDraft, load: Callable[[], KvSnapshot]) -> None:
        self._draft = draft
        self._load = load

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        return self._loaded().get(key, default)

    def items(self, prefix: str = "") -> list[tuple[str, Any]]:
        """Return (key, value) of every entry whose key starts with `prefix`, in the order of the keys."""
        return list(self._loaded().items(prefix))

    def set(self, key: str, value: Any, *, ttl: float | str | timedelta | None = None) -> None:
        """Write any JSON value, for `ttl` or for good; commits with the run's success or not at all."""
        self._draft.set(key, value, None if ttl is None else parse_duration(ttl))

    def delete(self, key: str) -> None:
        """Remove `key`; commits with the run's success or not at all."""
        self._draft.delete(key)

    def _loaded(self) -> KvDraft:
        if not self._draft.loaded:
            self._draft.load(self._load())
        return self._draft
