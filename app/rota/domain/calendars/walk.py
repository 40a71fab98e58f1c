"""A walk: the steps that reading one iCalendar text may take."""

#: Days that all rules of a text may look at, about a second of work.
MOST_STEPS = 300_000


class Walk:
    """A number of steps; one more raises ValueError."""

    __slots__ = ("_left",)

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self._left = steps

    def step(self) -> None:
        """Take one step."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(
                f"its rules look at more than {MOST_STEPS:,} days in all: give fewer, or rules that begin later"
            )
