"""Commands that met a lock of another transaction: each is tried again, after growing pauses, until its timeout."""

import heapq
from dataclasses import dataclass
from itertools import count
from typing import Any

from rota.clock import SystemClock
from rota.db.batching import Request
from rota.db.command import Command

#: For how many seconds a command is tried: less than an open request may take while the service stops.
TIMEOUT = 4.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.4


@dataclass(slots=True, kw_only=True)
class WriteRequest(Request[Any]):
    """A command to be committed."""

    command: Command[Any]
    #: The error by which it met a lock of another transaction in its latest attempt.
    met: Exception | None = None
    #: Until when it is retried (monotonic; None: before its first retry), and the next pause in seconds.
    until: float | None = None
    pause: float = _FIRST_PAUSE


class LockRetries:
    """A queue for the writer's thread alone. It uses the machine's clock, as the holders of the locks do."""

    def __init__(self) -> None:
        self._monotonic = SystemClock().monotonic
        # When to try, and a number that keeps commands of the same time in their order.
        self._heap: list[tuple[float, int, WriteRequest]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, request: WriteRequest) -> bool:
        """Add a command; False if its timeout has passed."""
        now = self._monotonic()
        if request.until is None:
            request.until = now + TIMEOUT
        if now >= request.until:
            return False
        due = min(now + request.pause, request.until)
        request.pause = min(request.pause * 2, _LONGEST_PAUSE)
        heapq.heappush(self._heap, (due, next(self._numbers), request))
        return True

    def next_in(self) -> float | None:
        """Return the seconds until the next command is due; None if there is none."""
        return max(self._heap[0][0] - self._monotonic(), 0) if self._heap else None

    def take_due(self, most: int) -> list[WriteRequest]:
        """Remove and return due commands, up to `most`."""
        now = self._monotonic()
        due: list[WriteRequest] = []
        while self._heap and self._heap[0][0] <= now and len(due) < most:
            due.append(heapq.heappop(self._heap)[2])
        return due

    def take_all(self) -> list[WriteRequest]:
        """Remove and return all commands, to be tried for the last time."""
        requests = [request for *_, request in sorted(self._heap, key=lambda each: each[:2])]
        self._heap.clear()
        for request in requests:
            request.until = self._monotonic()
        return requests
