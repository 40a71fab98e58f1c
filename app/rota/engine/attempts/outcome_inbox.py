"""The inbox for the outcomes that handlers' threads report: those that arrive together are taken together."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from rota.domain.runs.outcomes import CallEnd

T = TypeVar("T")

# With at least so many attempts in progress it is worth waiting for other outcomes, for so many seconds.
_MANY = 16
_GATHER = 0.001


class OutcomeInbox(Generic[T]):
    """Collects outcomes of attempts. All methods except `add` belong to the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        in_progress: Callable[[], int],
        take: Callable[[T, CallEnd], None],
    ) -> None:
        """`take` gets each attempt with its outcome, on the loop; `in_progress` returns the number of attempts."""
        self._loop = loop
        self._in_progress = in_progress
        self._take = take
        self._outcomes: deque[tuple[T, CallEnd]] = deque()
        self._waking = False
        # The attempts that were begun together last, and have not ended.
        self._latest: set[T] = set()

    def expect(self, attempts: Iterable[T]) -> None:
        """Record which attempts have been begun together."""
        self._latest = set(attempts)

    def dismiss(self, attempt: T) -> None:
        """Stop waiting for an attempt: it has ended."""
        self._latest.discard(attempt)

    def add(self, attempt: T, outcome: CallEnd) -> None:
        """Add an outcome, from any thread; raises RuntimeError if the loop is closed."""
        self._outcomes.append((attempt, outcome))
        # One wake-up serves all outcomes that arrive before it.
        if not self._waking:
            self._waking = True
            self._loop.call_soon_threadsafe(self._gather)

    def _gather(self) -> None:
        """Among many attempts others end at the same time, and share a commit if they are waited for.

        Only the latest ones are waited for: an attempt that has not ended with its neighbours takes longer.
        """
        if self._in_progress() < _MANY or self._latest <= {
            attempt for attempt, _ in self._outcomes
        }:
            self._take_all()
        else:
            self._loop.call_later(_GATHER, self._take_all)

    def _take_all(self) -> None:
        self._waking = False
        while self._outcomes:
            self._take(*self._outcomes.popleft())
