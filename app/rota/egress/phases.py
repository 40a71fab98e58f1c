"""How long the phases of an exchange took."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from rota.domain.http_target.phases import CallPhase


class Phases:
    """Measures an exchange, while it continues: the phase that it is in, and the seconds of each one so far."""

    def __init__(self) -> None:
        #: The phase that the exchange is in, or was in when it ended; None before it began.
        self.current: CallPhase | None = None
        #: Whether a redirect has led to another server: an answer or a failure is of that one then.
        self.is_elsewhere = False
        self._since = 0.0
        self._seconds: defaultdict[CallPhase, float] = defaultdict(float)

    def enter(self, phase: CallPhase) -> None:
        """Note that the exchange is in this phase from now on; on the loop that it runs on."""
        if phase is self.current:
            return
        now = asyncio.get_running_loop().time()
        if self.current is not None:
            self._seconds[self.current] += now - self._since
        self.current, self._since = phase, now

    def timings(self) -> Mapping[str, float]:
        """Return the seconds of each phase until now, to a tenth of a millisecond."""
        seconds = dict(self._seconds)
        if self.current is not None:
            now = asyncio.get_running_loop().time()
            seconds[self.current] = seconds.get(self.current, 0.0) + now - self._since
        return {
            phase.value: round(seconds[phase], 4)
            for phase in CallPhase
            if phase in seconds and phase is not CallPhase.TOO_LARGE
        }
