"""What an attempt wants to become of it, kept until its end: it commits with the run's success or not at all."""

from datetime import datetime

from app.domain.kv import KvDraft
from app.domain.registrations import (
    MOST_BYTES,
    MOST_REGISTRATIONS,
    TaskRegistration,
    size_of,
)


class AttemptDraft:
    """The changes that one attempt has asked for so far."""

    __slots__ = ("_bytes", "kv", "next_fire", "registrations")

    def __init__(self, max_value_bytes: int) -> None:
        self.kv = KvDraft(max_value_bytes)
        self.registrations: tuple[TaskRegistration, ...] = ()
        self.next_fire: datetime | None = None
        self._bytes = 0

    def register(self, made: TaskRegistration) -> None:
        """Keep a registration; raises ValueError for one too many, or too much in all."""
        if len(self.registrations) >= MOST_REGISTRATIONS:
            raise ValueError(f"a run registers at most {MOST_REGISTRATIONS} tasks")
        in_all = self._bytes + size_of(made)
        if in_all > MOST_BYTES:
            raise ValueError(f"what a run registers has at most {MOST_BYTES} bytes in all")
        self._bytes = in_all
        self.registrations += (made,)
