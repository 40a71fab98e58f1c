"""What handlers' threads report, taken on the engine's loop: as many as end in the same moment together."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from rota.domain.runs.outcomes import Outcome

T = TypeVar("T")

# Among so many attempts it is worth waiting for others, and for how many seconds.
_MANY = 16
_GATHER = 0.001


class Reports(Generic[T]):
    """Collects outcomes of attempts. All but `add` belongs to the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        under_way: Callable[[], int],
        take: Callable[[T, Outcome], None],
    ) -> None:
        """`take` gets each attempt with its outcome, on the loop; `under_way` tells how many attempts there are."""
        self._loop = loop
        self._under_way = under_way
        self._take = take
        self._reports: deque[tuple[T, Outcome]] = deque()
        self._waking = False
        # Those that were begun together last, and have not ended.
        self._latest: set[T] = set()

    def expect(self, attempts: Iterable[T]) -> None:
        """Note which attempts have been begun together."""
        self._latest = set(attempts)

    def dismiss(self, attempt: T) -> None:
        """Wait for an attempt no longer: it has ended."""
        self._latest.discard(attempt)

    def add(self, attempt: T, outcome: Outcome) -> None:
        """Take a report, in any thread; raises RuntimeError if the loop is closed."""
        self._reports.append((attempt, outcome))
        # One wake-up serves all that come meanwhile.
        if not self._waking:
            self._waking = True
            self._loop.call_soon_threadsafe(self._gather)

    def _gather(self) -> None:
        """Among many attempts others end in the same moment, and share a commit if they are waited for.

        Those that are worth it are the latest: what has not ended with its neighbours takes longer.
        """
        if self._under_way() < _MANY or self._latest <= {attempt for attempt, _ in self._reports}:
            self._take_all()
        else:
            self._loop.call_later(_GATHER, self._take_all)

    def _take_all(self) -> None:
        self._waking = False
        while self._reports:
            self._take(*self._reports.popleft())
