"""How a table is used as a mapping, in `async` code. `sync/kv/face.py` is a MutableMapping."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any

from rota.client.wire import UNSET


class AsyncValueFace(ABC):
    """Values by key: `await kv["cursor"]`."""

    @abstractmethod
    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or `default`."""

    @abstractmethod
    async def contains(self, key: str) -> bool:
        """Return whether there is an entry."""

    async def __getitem__(self, key: str) -> Any:
        """Return the value of a key; raises KeyError."""
        value = await self.get(key, UNSET)
        if value is UNSET:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        """Raise TypeError: `in` cannot await."""
        raise TypeError(f"`in` cannot await: use `await kv.contains({key!r})`")


class AsyncKvFace(AsyncValueFace):
    """Values by key, and `async for key in kv`."""

    @abstractmethod
    def keys(self, prefix: str = "", *, start: str = "", end: str = "") -> AsyncIterator[str]:
        """Iterate over the keys."""

    def __aiter__(self) -> AsyncIterator[str]:
        """Iterate over the keys."""
        return self.keys()
