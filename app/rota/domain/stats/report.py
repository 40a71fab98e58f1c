"""A report: runs by status and reason, how long they took and how late they were, and the outcomes of fire times."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, assert_never

from rota.domain.reasons import SkipReason
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.stats.window import Window

#: Nobody could fire these in time.
MISSED = frozenset({SkipReason.MISFIRE, SkipReason.TOO_LATE})
#: The schedule leaves these out: they were not to run.
LEFT_OUT = frozenset({SkipReason.EXCLUDED, SkipReason.DST_GAP})


#: Which quantiles there are, in percent.
PERCENTS = (50, 95, 99)


class Waits(StrEnum):
    """Why a fire time that has come has no run yet."""

    UNPLANNED = "unplanned"  # the next firing pass makes it
    PAUSED = "paused"  # its task is paused: the resumption decides
    HELD = "held"  # its task is held: the end of the hold decides


class Tally(NamedTuple):
    """How many runs are alike; a skipped one counts as often as it has fire times in the window."""

    status: RunStatus
    #: As it is stored: another version may have written one that this version does not know.
    reason: str | None
    trigger: Trigger
    #: Whether they have been started.
    began: bool
    number: int
    #: When the last of them ended.
    last: datetime | None = None


class Quantiles(NamedTuple):
    """Times of a number of runs: the smallest that so many percent of them do not exceed (nearest rank)."""

    number: int = 0
    p50: timedelta | None = None
    p95: timedelta | None = None
    p99: timedelta | None = None
    #: They are those of a random sample of the runs.
    sampled: bool = False

    @classmethod
    def of_sample(cls, milliseconds: Sequence[int]) -> "Quantiles":
        """Return the quantiles of a sample. A negative time counts as 0: the clock was set back."""
        ranked = sorted(milliseconds)
        if not ranked:
            return cls(sampled=True)
        nearest = (ranked[-(-percent * len(ranked) // 100) - 1] for percent in PERCENTS)
        p50, p95, p99 = (timedelta(milliseconds=max(each, 0)) for each in nearest)
        return cls(len(ranked), p50, p95, p99, sampled=True)


@dataclass(frozen=True, slots=True)
class Completeness:
    """The outcomes of the fire times of a window. Runs by hand, reruns, backfills and the like are none."""

    #: Those that ran, by how they ended.
    ran: Mapping[str, int] = field(default_factory=dict)
    #: By reason.
    skipped: Mapping[str, int] = field(default_factory=dict)
    missed: Mapping[str, int] = field(default_factory=dict)
    #: Before they had started.
    cancelled: int = 0
    #: By the status of the run, or why there is none yet.
    pending: Mapping[str, int] = field(default_factory=dict)

    @property
    def due(self) -> int:
        """How many fire times there were."""
        decided = sum(map(_total, (self.ran, self.skipped, self.missed)))
        return decided + self.cancelled + _total(self.pending)

    @property
    def ratio(self) -> float | None:
        """The part that ran of those that were to run, and of which it is known; None if there were none."""
        left_out = sum(self.skipped.get(reason, 0) for reason in LEFT_OUT)
        expected = self.due - _total(self.pending) - left_out
        return _total(self.ran) / expected if expected else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The statistics of a window."""

    window: Window
    tallies: tuple[Tally, ...]
    waiting: Mapping[Waits, int]
    duration: Quantiles
    lateness: Quantiles
    #: Whether each number was counted, and none estimated.
    exact: bool
    #: From when on all runs of the window are kept; None: all of them are.
    complete_since: datetime | None

    def by_status(self) -> Counter[str]:
        """Return the number of runs of each status."""
        return _summed((each.status, each.number) for each in self.tallies)

    def by_reason(self) -> Counter[str]:
        """Return the number of runs of each reason."""
        return _summed((each.reason, each.number) for each in self.tallies if each.reason)

    def success_rate(self) -> float | None:
        """Return the part that succeeded of the runs that ended by themselves; None if there were none."""
        ended = self.by_status()
        of = ended[RunStatus.SUCCEEDED] + ended[RunStatus.FAILED]
        return ended[RunStatus.SUCCEEDED] / of if of else None

    def last_end(self, status: RunStatus) -> datetime | None:
        """Return when a run ended last with a status."""
        ends = [each.last for each in self.tallies if each.status is status and each.last]
        return max(ends, default=None)

    def completeness(self) -> Completeness:
        """Return the outcomes of the fire times."""
        return completeness(self.tallies, self.waiting)


def completeness(tallies: Iterable[Tally], waiting: Mapping[Waits, int]) -> Completeness:
    """Return the outcomes of the fire times of runs that are tallied, and of those that wait for a run."""
    ran, skipped, missed, pending = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    cancelled = 0
    for each in tallies:
        if each.trigger is not Trigger.SCHEDULE:
            continue
        match each.status:
            case RunStatus.SUCCEEDED | RunStatus.FAILED:
                ran[each.status] += each.number
            case RunStatus.CANCELLED if each.began:
                ran[each.status] += each.number
            case RunStatus.CANCELLED:
                cancelled += each.number
            case RunStatus.SKIPPED:
                (missed if each.reason in MISSED else skipped)[each.reason or ""] += each.number
            case RunStatus.BLOCKED | RunStatus.QUEUED | RunStatus.RUNNING:
                pending[each.status] += each.number
            case _:
                assert_never(each.status)
    pending.update({str(why): number for why, number in waiting.items() if number})
    return Completeness(ran, skipped, missed, cancelled, pending)


def _total(numbers: Mapping[str, int]) -> int:
    return sum(numbers.values())


def _summed(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    summed: Counter[str] = Counter()
    for key, number in pairs:
        summed[str(key)] += number
    return summed
