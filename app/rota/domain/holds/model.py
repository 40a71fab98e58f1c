"""A hold: the tasks that do not fire, from when until when, and how their fire times are treated. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import Id


class HeldFireTimes(StrEnum):
    """The treatment of the fire times within a hold."""

    SKIP = "skip"  # they are skipped, with the reason `held`
    CATCH_UP = "catch_up"  # when the hold ends they have been missed: `misfire_policy` decides which of them run


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldSelector:
    """The tasks of a hold. Values of one field are OR-ed, fields are AND-ed; without any it selects every task."""

    tags: frozenset[str] = frozenset()
    name_prefix: str = ""
    queues: frozenset[str] = frozenset()
    #: The tasks that the client who set it may see; it holds no others.
    limit: NameLimit = UNLIMITED

    @property
    def is_everything(self) -> bool:
        """Whether it selects every task."""
        return self.limit.is_unlimited and not (self.tags or self.name_prefix or self.queues)

    def matches(self, name: str, queue: str, tags: Collection[str]) -> bool:
        """Return whether it selects the task with this name, queue and these tags."""
        return (
            name.startswith(self.name_prefix)
            and self.limit.covers(name)
            and (not self.queues or queue in self.queues)
            and (not self.tags or not self.tags.isdisjoint(tags))
        )

    @property
    def within(self) -> list[str] | None:
        """The prefixes of names beyond which it selects no task; None: it may select any."""
        prefixes = self.limit.prefixes
        if prefixes is None or self.limit.covers(self.name_prefix):
            return [self.name_prefix] if self.name_prefix else None
        return sorted(prefixes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold: it covers the fire times from `starts_at` until before `ends_at`; None: until it is ended."""

    id: Id
    name: str
    selector: HoldSelector
    starts_at: datetime
    ends_at: datetime | None
    fire_times: HeldFireTimes
    reason: str | None

    def covers(self, at: datetime) -> bool:
        """Return whether a time lies in it."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)

    def meets(self, first: datetime, last: datetime) -> bool:
        """Return whether it covers a time from `first` to `last`, both included."""
        return self.starts_at <= last and (self.ends_at is None or first < self.ends_at)

    def is_within(self, limit: NameLimit) -> bool:
        """Return whether it selects tasks with names within a limit only: a client with that limit may see it."""
        return is_within(self.selector.within, limit)


def is_within(prefixes: Sequence[str] | None, limit: NameLimit) -> bool:
    """Return whether a limit covers all names that begin with one of some prefixes; None: any names."""
    if prefixes is None:
        return limit.is_unlimited
    return all(limit.covers(prefix) for prefix in prefixes)
