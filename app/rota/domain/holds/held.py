"""The holds of a service, and which of them hold a task. Pure; the time is an argument."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from rota.domain.holds.model import HeldFireTimes, Hold


class HoldsVersion(NamedTuple):
    """The version of all holds: how many there are, and when one was changed last."""

    number: int
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holds:
    """The holds that may matter: those to come, those that last, and those that have ended a while ago."""

    all: tuple[Hold, ...] = ()
    #: None: they were not read from a database.
    version: HoldsVersion | None = None

    def __bool__(self) -> bool:
        return bool(self.all)

    def between(self, first: datetime, last: datetime) -> "Holds":
        """Return those that cover a time from `first` to `last`, both included."""
        return replace(self, all=tuple(each for each in self.all if each.meets(first, last)))

    def of(self, name: str, queue: str, tags: Collection[str]) -> tuple[Hold, ...]:
        """Return those that select the task with this name, queue and these tags."""
        return tuple(each for each in self.all if each.selector.matches(name, queue, tags))

    def holding(self, name: str, queue: str, tags: Collection[str], now: datetime) -> Hold | None:
        """Return the hold that a task is in at `now`, of several the one that lasts longest; None: it is not held."""
        held = (each for each in self.all if each.covers(now))
        return longest(each for each in held if each.selector.matches(name, queue, tags))

    def last_held(
        self, name: str, queue: str, tags: Collection[str], now: datetime
    ) -> datetime | None:
        """Return until when a task was held last, `now` if it is; None: it was not, as far as is kept."""
        ends = (
            each.ends_at or now
            for each in self.all
            if each.starts_at <= now and each.selector.matches(name, queue, tags)
        )
        return max((min(at, now) for at in ends), default=None)

    def defers(self, name: str, queue: str, tags: Collection[str], now: datetime) -> bool:
        """Return whether nothing is planned of a task at `now`: it is in a hold that catches up when it ends."""
        return any(
            each.fire_times is HeldFireTimes.CATCH_UP and each.selector.matches(name, queue, tags)
            for each in self.all
            if each.covers(now)
        )

    def plannable_from(
        self, name: str, queue: str, tags: Collection[str], at: datetime, now: datetime
    ) -> datetime:
        """Return since when a fire time that is due could be planned: the end of the holds that it waited for."""
        deferring = [
            each for each in self.of(name, queue, tags) if each.fire_times is HeldFireTimes.CATCH_UP
        ]
        while at < now and (ends := [each.ends_at or now for each in deferring if each.covers(at)]):
            at = min(max(ends), now)
        return at

    @property
    def look_at_tags(self) -> bool:
        """Whether any of them selects by tags."""
        return any(each.selector.tags for each in self.all)

    def next_change(self, after: datetime) -> datetime | None:
        """Return when the next of them begins or ends, strictly after a time; None: never by itself."""
        edges = (at for each in self.all for at in (each.starts_at, each.ends_at))
        return min((at for at in edges if at is not None and at > after), default=None)


NO_HOLDS = Holds()


def longest(holds: Iterator[Hold]) -> Hold | None:
    """Return the hold that ends last, or has no end; None of none."""
    return max(holds, key=_lasting, default=None)


def _lasting(hold: Hold) -> tuple[bool, float]:
    return hold.ends_at is None, 0.0 if hold.ends_at is None else hold.ends_at.timestamp()
