"""An attempt in progress, as the runner keeps it."""

import asyncio
from dataclasses import dataclass, field

from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun, LogLine, Progress
from rota.domain.runs.outcomes import CallEnd
from rota.handlers.calls.journal import AttemptJournal

#: What a handler has logged, and its latest progress.
Report = tuple[tuple[LogLine, ...], Progress | None]


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt in progress. Belongs to the engine's loop."""

    run: ClaimedRun
    holder: Id
    journal: AttemptJournal
    #: When it began (monotonic): the wall clock may be set meanwhile.
    began: float
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    settled: bool = False
    #: Whether a note is being committed, and the outcome that waits for that commit.
    noting: bool = False
    outcome: CallEnd | None = None
    #: What a note that failed was to store.
    unstored: Report = ((), None)
    #: How often the database refused its end for another reason than that the lease is lost.
    refused: int = 0
    checks: int = 0
    #: Whether it still takes a slot: until its handler has ended, not until that is committed.
    slot: bool = True

    def take_report(self) -> Report:
        """Return, and remove, what the handler has reported since the last call."""
        earlier, old = self.unstored
        lines, progress = self.journal.take()
        self.unstored = ((), None)
        return (*earlier, *lines), progress or old
