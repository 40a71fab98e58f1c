"""The window that statistics are about: fire times from its beginning until before its end."""

from dataclasses import dataclass
from datetime import datetime

from rota.domain.fire_time import TICK


@dataclass(frozen=True, slots=True)
class Window:
    """The times from `begins_at` until before `ends_at`."""

    begins_at: datetime
    ends_at: datetime

    @property
    def last(self) -> datetime:
        """The last time in it."""
        return self.ends_at - TICK

    def covers(self, at: datetime) -> bool:
        """Return whether a time lies in it."""
        return self.begins_at <= at < self.ends_at
