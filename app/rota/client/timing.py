"""The clock of the client: its deadlines. Wall-clock times come from the service only."""

import math
import time
from dataclasses import dataclass

#: Seconds since some fixed instant; it never decreases.
monotonic = time.monotonic


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock."""

    at: float

    @property
    def left(self) -> float:
        """The seconds until then; 0 if it is over, infinite if there is none."""
        return max(self.at - monotonic(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether it is over."""
        return self.left <= 0


def deadline(seconds: float | None) -> Deadline:
    """Return the moment in `seconds`; None: never."""
    return Deadline(math.inf if seconds is None else monotonic() + seconds)
