"""A fire time that a client moved: which one it replaces, and what else is left to fire. Pure; the time is an argument.

A moved fire time represents the regular one that it was moved from, and no other: what the rule has after that
fires as if nothing had been moved, also before the moved one. To move it again before it has fired, or before the time
that it was moved from has come, moves the same one.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple, Self, TypedDict

from rota.domain.fire_time import TICK, FireTime
from rota.domain.reasons import SkipReason
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Planned
from rota.domain.schedules.fire_times import fire_times, fires_after_finish, is_left_out
from rota.domain.schedules.running_times import upcoming
from rota.errors import Unplannable


class Move(NamedTuple):
    """A fire time that was moved."""

    #: The regular fire time that it represents, which does not fire itself; None: nothing was to fire.
    of: datetime | None
    #: When it fires, or has fired.
    to: datetime

    def waits(self, next_fire_at: datetime | None) -> bool:
        """Return whether it has yet to fire, as a task has that fires next at `next_fire_at`."""
        return next_fire_at is not None and next_fire_at <= self.to

    def ends_before(self, at: datetime) -> bool:
        """Return whether from `at` on everything is as if nothing had been moved."""
        return self.to < at and (self.of is None or self.of < at)

    def replaces(self, time: FireTime) -> bool:
        """Return whether it fires in place of a time that the rule has.

        Between it and the one that it represents there is none that runs, unless the clock was set back: those have
        fired.
        """
        if self.of is None:
            return False
        return time.at == self.of or (self.to <= time.at < self.of and time.skip is None)


class NextFireColumns(TypedDict):
    """A next fire time as the columns of a task, and the attributes of `Task`, have it."""

    next_fire_at: datetime | None
    overrides_at: datetime | None
    moved_to_at: datetime | None


class NextFire(NamedTuple):
    """When a task fires next (None: nothing is left), and the fire time that was moved last."""

    at: datetime | None
    move: Move | None = None

    @classmethod
    def of(
        cls, at: datetime | None, overrides_at: datetime | None, moved_to_at: datetime | None
    ) -> Self:
        """Return the next fire time that three columns hold."""
        return cls(at, None if moved_to_at is None else Move(overrides_at, moved_to_at))

    @property
    def columns(self) -> NextFireColumns:
        """The columns that hold it."""
        overrides_at, moved_to_at = self.move or (None, None)
        return {
            "next_fire_at": self.at,
            "overrides_at": overrides_at,
            "moved_to_at": moved_to_at,
        }

    @property
    def waiting(self) -> Move | None:
        """The moved fire time, if it has yet to fire."""
        return self.move if self.move is not None and self.move.waits(self.at) else None


def times_left(schedule: Planned, anchor: Anchor, present: NextFire) -> Iterator[FireTime]:
    """Yield what is left to fire, in order: `present.at`, what the rule has after it, and the moved one at its time."""
    first = present.at
    if first is None:
        return
    times = regular_times(schedule, anchor, first, present.move)
    if present.waiting is not None:
        times = _with(times, present.waiting.to)
    known = next(times, None)
    if known is None or known.at != first:
        # The rule does not know it: it comes from a rule before, or (`fixed_delay`) from the end of a run.
        if present.move is None or not present.move.replaces(FireTime(first)):
            yield _unknown(schedule, anchor, present, first)
        if known is None:
            return
    yield known
    yield from times


def _unknown(schedule: Planned, anchor: Anchor, present: NextFire, at: datetime) -> FireTime:
    """Return a stored fire time that the rule does not know; a calendar may have got its day since."""
    by_hand = present.waiting is not None and present.waiting.to == at
    if by_hand or not fires_after_finish(schedule) or not is_left_out(schedule, anchor, at):
        return FireTime(at)
    return FireTime(at, SkipReason.EXCLUDED)


def moved(
    schedule: Planned, anchor: Anchor, present: NextFire, to: datetime, now: datetime
) -> NextFire:
    """Return the next fire time moved to `to`; one in the past fires at once."""
    # After now: whatever has fired up to now has its run, and no fire time has two.
    move = Move(_moved_from(schedule, anchor, present, now), max(to, now + TICK))
    regular = _next_regular(schedule, anchor, present, move)
    return NextFire(move.to if regular is None else min(move.to, regular), move)


def taken_back(schedule: Planned, anchor: Anchor, present: NextFire, now: datetime) -> NextFire:
    """Return the moved fire time, if it has yet to fire, put back to its regular time; in the past, at once."""
    move = present.waiting
    if move is None:
        return present
    if move.of is not None and move.of <= now:
        return moved(schedule, anchor, present, now, now)
    ahead = (move.of, _next_regular(schedule, anchor, present, move))
    return NextFire(min((at for at in ahead if at is not None), default=None))


def begun_again(schedule: Planned, anchor: Anchor, present: NextFire, now: datetime) -> NextFire:
    """Return what comes after `now` of a task that had ended; what was moved does not come twice."""
    move = present.move
    ahead = [time.at for time in islice(regular_times(schedule, anchor, now + TICK, move), 1)]
    if present.waiting is not None and present.waiting.to > now:
        ahead.append(present.waiting.to)
    at = min(ahead, default=None)
    waits = present.waiting is None and move is not None and move.waits(at)
    return NextFire(at, None if waits else move)


def _moved_from(
    schedule: Planned, anchor: Anchor, present: NextFire, now: datetime
) -> datetime | None:
    """Return the regular fire time that is moved: the next one that runs, or the same as was moved before."""
    at, move = present
    if move is not None and (move.waits(at) or (move.of is not None and move.of > now)):
        return move.of
    if at is None or fires_after_finish(schedule):
        return at
    try:
        if at > now and not is_left_out(schedule, anchor, at):
            return at
        # What is due, or passed during a pause, is recorded separately.
        ahead = upcoming(schedule, anchor, max(at, now), 1)
    except Unplannable:
        return at
    return ahead[0] if ahead else at


def _next_regular(
    schedule: Planned, anchor: Anchor, present: NextFire, move: Move
) -> datetime | None:
    """Return the first that is left of what the rule has, except what `move` represents."""
    at = present.at
    if at is None:
        return None
    by_hand = present.waiting is not None and present.waiting.to == at
    if not by_hand and at != move.of:
        return at
    try:
        first = next(regular_times(schedule, anchor, at, move), None)
    except Unplannable:
        return None
    return None if first is None else first.at


def regular_times(
    schedule: Planned, anchor: Anchor, start: datetime, move: Move | None
) -> Iterator[FireTime]:
    """Yield what the rule has from `start` on, without what was moved."""
    times = fire_times(schedule, anchor, start - TICK)
    if move is None or move.ends_before(start):
        return times
    return (time for time in times if not move.replaces(time))


def _with(times: Iterator[FireTime], to: datetime) -> Iterator[FireTime]:
    """Yield the times with one at `to` among them; with one that the rule has then, it is one."""
    for time in times:
        if time.at >= to:
            yield FireTime(to)
            if time.at > to:
                yield time
            yield from times
            return
        yield time
    yield FireTime(to)
