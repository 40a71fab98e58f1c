"""The parts of the time that a plan is about: why the fire times in each do not run, and how many run anyway.

What decides about a fire time, the first that applies: a hold with `skip` covers it (`held`), it passed during a pause
(`paused`), a hold with `catch_up` covers it (`held`), it passed longer ago than the task accepts (`too_late`), or a
later one runs in its place (`misfire`). While a hold with `catch_up` lasts, nothing from its start on is decided. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import assert_never

from rota.domain.fire_time import TICK
from rota.domain.holds.model import HeldFireTimes, Hold
from rota.domain.policies import MOST_CAUGHT_UP, SKIP_GRACE, CatchUp, MisfirePolicy
from rota.domain.reasons import SkipReason
from rota.domain.runs.plan import DueTask
from rota.domain.time_zones.zone import LAST_INSTANT


@dataclass(frozen=True, slots=True)
class Group:
    """Fire times that do not run for one reason, of which the last `kept` run anyway.

    `since`: of a hold with `catch_up`, its start. Each such hold lets its own last ones run, and so it does not matter
    when the plan is made: during the next one, or after an outage over the end of both.
    """

    reason: SkipReason
    kept: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the time, from `first` to `last`, both included, and the group of the fire times in it."""

    first: datetime
    last: datetime
    group: Group


@dataclass(frozen=True, slots=True)
class DueTime:
    """The parts up to `until`, in order and without gaps; from then on nothing is planned before `deferred_until`."""

    parts: Sequence[Part]
    until: datetime
    #: None: `until` is the present time.
    deferred_until: datetime | None = None

    def groups_of(self, times: Iterable[datetime]) -> Iterator[Group]:
        """Yield the group of each fire time; they rise, and none is after `until`."""
        parts = iter(self.parts)
        part = next(parts, None)
        for at in times:
            while part is not None and part.last < at:
                part = next(parts, None)
            assert part is not None, "a fire time that is not due"
            yield part.group

    def goes_on(self, group: Group, following: datetime) -> bool:
        """Return whether fire times of a group may come from `following` on."""
        return any(part.group == group and part.last >= following for part in self.parts)

    def parts_after(self, group: Group, after: datetime) -> Iterator[Part]:
        """Yield what comes after a time of the parts of a group."""
        for part in self.parts:
            if part.group == group and part.last > after:
                yield Part(max(part.first, after + TICK), part.last, group)


@dataclass(frozen=True, slots=True)
class Span:
    """A span of the time up to before `end`; None: it has no end yet."""

    start: datetime
    end: datetime | None

    def covers(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


def due_time(task: DueTask, now: datetime) -> DueTime:
    """Return the parts from the task's next fire time to `now`, or to before a hold with `catch_up` that lasts."""
    if not task.holds:
        return DueTime(_parts(task, (), (), now, now), now)
    skipping, catching_up = held_spans(task)
    lasting = next((span for span in catching_up if span.covers(now)), None)
    if lasting is None:
        return DueTime(_parts(task, skipping, catching_up, now, now), now)
    until = lasting.start - TICK
    parts = _parts(task, skipping, catching_up, until, now) if task.next_fire_at <= until else ()
    return DueTime(parts, until, lasting.end or LAST_INSTANT)


def held_spans(task: DueTask) -> tuple[Sequence[Span], Sequence[Span]]:
    """Return what the task's holds cover, in order: those that skip, and those that catch up, joined to one another."""
    return _spans(task, HeldFireTimes.SKIP), _joined(_spans(task, HeldFireTimes.CATCH_UP))


def grace(task: DueTask) -> tuple[timedelta | None, SkipReason]:
    """Return how late a fire time may still run, and what it is called beyond that."""
    match task.misfire_policy:
        case MisfirePolicy.SKIP:
            return task.misfire_grace or SKIP_GRACE, SkipReason.MISFIRE
        case MisfirePolicy.RUN_ONCE | MisfirePolicy.RUN_ALL:
            return task.misfire_grace, SkipReason.TOO_LATE
        case _:
            assert_never(task.misfire_policy)


def in_gap(task: DueTask, at: datetime) -> bool:
    """Return whether a time lies in the pause that the task was resumed from."""
    return task.gap is not None and at <= task.gap.until


def _parts(
    task: DueTask,
    skipping: Sequence[Span],
    catching_up: Sequence[Span],
    until: datetime,
    now: datetime,
) -> list[Part]:
    """Return the parts from the next fire time to `until`; where the group changes, the next one begins."""
    edges = {at for span in (*skipping, *catching_up) for at in (span.start, span.end)}
    late, _ = grace(task)
    edges |= {None if task.gap is None else task.gap.until + TICK}
    edges |= {None if late is None else now - late}
    first, end = task.next_fire_at, until + TICK
    inside = sorted(at for at in edges if at is not None and first < at < end)
    parts: list[Part] = []
    for start, following in pairwise((first, *inside, end)):
        group = _group_at(task, skipping, catching_up, start, now)
        same = bool(parts) and parts[-1].group == group
        parts.append(Part(parts.pop().first if same else start, following - TICK, group))
    return parts


def _group_at(
    task: DueTask,
    skipping: Sequence[Span],
    catching_up: Sequence[Span],
    at: datetime,
    now: datetime,
) -> Group:
    if any(span.covers(at) for span in skipping):
        return Group(SkipReason.HELD)
    if task.gap is not None and in_gap(task, at):
        return Group(SkipReason.PAUSED, _kept_of_pause(task.gap.catch_up))
    for span in catching_up:
        if span.covers(at):
            return Group(SkipReason.HELD, _kept_of_hold(task.misfire_policy), span.start)
    late, reason = grace(task)
    if late is not None and now - at > late:
        return Group(reason)
    return Group(SkipReason.MISFIRE, _kept_of_outage(task.misfire_policy))


def _spans(task: DueTask, fire_times: HeldFireTimes) -> list[Span]:
    """Return what holds with this choice cover, in order."""
    spans = [
        Span(_start_for(task, hold), hold.ends_at)
        for hold in task.holds
        if hold.fire_times is fire_times
        and (hold.ends_at is None or hold.ends_at > task.anchored_at)
    ]
    return sorted(spans, key=lambda span: span.start)


def _start_for(task: DueTask, hold: Hold) -> datetime:
    """Return from when on a hold covers fire times: one before the registration (`once`) counts as at that time."""
    begun = hold.starts_at <= task.anchored_at
    return min(hold.starts_at, task.next_fire_at) if begun else hold.starts_at


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Return the spans, with those that overlap or follow each other at once as one."""
    joined: list[Span] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last is None or (last.end is not None and last.end < span.start):
            joined.append(span)
            continue
        ends = (last.end, span.end)
        joined[-1] = Span(last.start, None if None in ends else max(filter(None, ends)))
    return joined


def _kept_of_outage(policy: MisfirePolicy) -> int:
    match policy:
        case MisfirePolicy.RUN_ONCE:
            return 1
        case MisfirePolicy.RUN_ALL | MisfirePolicy.SKIP:
            return MOST_CAUGHT_UP
        case _:
            assert_never(policy)


def _kept_of_hold(policy: MisfirePolicy) -> int:
    match policy:
        case MisfirePolicy.RUN_ONCE:
            return 1
        case MisfirePolicy.RUN_ALL:
            return MOST_CAUGHT_UP
        case MisfirePolicy.SKIP:
            return 0
        case _:
            assert_never(policy)


def _kept_of_pause(catch_up: CatchUp) -> int:
    match catch_up:
        case "none":
            return 0
        case "once":
            return 1
        case "all":
            return MOST_CAUGHT_UP
        case _:
            assert_never(catch_up)
