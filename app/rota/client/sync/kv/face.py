"""How a table is used as a mapping. `aio/kv/face.py` is the face for `async` code."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from rota.client.wire import UNSET


class ValueFace(ABC):
    """Values by key: `kv["cursor"]`, `"cursor" in kv`."""

    @abstractmethod
    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or `default`."""

    @abstractmethod
    def contains(self, key: str) -> bool:
        """Return whether there is an entry."""

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key; raises KeyError."""
        value = self.get(key, UNSET)
        if value is UNSET:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        """Return whether there is an entry."""
        return isinstance(key, str) and self.contains(key)


class KvFace(ValueFace):
    """Values by key, and `kv["cursor"] = 1`, `del kv["cursor"]`, `for key in kv`."""

    @abstractmethod
    def keys(self, prefix: str = "", *, start: str = "", end: str = "") -> Iterator[str]:
        """Iterate over the keys."""

    @abstractmethod
    def set(self, key: str, value: Any) -> Any:
        """Write a value."""

    @abstractmethod
    def delete(self, key: str) -> Any:
        """Remove an entry."""

    def __setitem__(self, key: str, value: Any) -> None:
        """Write a value."""
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove an entry; raises KeyError if there is none."""
        if not self.delete(key):
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return self.keys()
