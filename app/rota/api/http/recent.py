"""What was computed a short while ago, so that whoever asks again and again does not have it computed each time."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """The values that were kept last, each until its time has passed; from any thread. Times are monotonic seconds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[float, V]] = OrderedDict()

    def find(self, key: Hashable, now: float) -> V | None:
        """Return what is kept under a key; None for nothing."""
        with self._lock:
            until, value = self._kept.get(key, (now, None))
        return value if until > now else None

    def keep(self, key: Hashable, value: V, until: float) -> V:
        """Keep a value, and return it."""
        with self._lock:
            self._kept[key] = (until, value)
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value
