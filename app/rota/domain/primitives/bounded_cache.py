"""Caches of values computed from texts of clients: bounded by bytes.

A cache with a maximal number of entries would keep as many of the largest texts as of the smallest.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: Larger texts are not cached: few texts are so large, and a few of them would fill the cache.
LONGEST: Final = 16_384
MOST_BYTES: Final = 2_097_152
_MISSING: Final = object()


class BoundedCache(Generic[R]):
    """The latest values by their keys, of at most `most_bytes` together.

    When half of the room is full, entries that were not used since the last time are dropped. A hit takes no lock.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, longest: int = LONGEST) -> None:
        self._half = most_bytes // 2
        self._longest = longest
        self._lock = threading.Lock()
        self._young: dict[Any, tuple[R, int]] = {}
        self._old: dict[Any, tuple[R, int]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def get(self, key: Any, default: Any = None) -> Any:
        """Return what is kept under a key."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                return default
            self.put(key, *found)
        return found[0]

    def put(self, key: Any, value: R, size: int) -> None:
        """Keep a value, whose key counts as `size` bytes, unless that is too many."""
        if size > self._longest:
            return
        with self._lock:
            if key in self._young:
                return
            if self._bytes + size > self._half:
                self._old, self._young, self._bytes = self._young, {}, 0
            self._young[key] = (value, size)
            self._bytes += size


def bounded_cache(
    size: Callable[..., int], most_bytes: int = MOST_BYTES
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the latest results of a function by its positional arguments; `size` says how many bytes these are.

    What it raises is not kept.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        cache = BoundedCache[R](most_bytes)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            found = cache.get(args, _MISSING)
            if found is not _MISSING:
                return found  # type: ignore[no-any-return]
            made = function(*args, **kwargs)
            cache.put(args, made, size(*args, **kwargs))
            return made

        call.cache = cache  # type: ignore[attr-defined]
        return call

    return decorate
