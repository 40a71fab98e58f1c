"""Moves: which fire time that vanishes and which one that appears are one fire time at another time.

A schedule does not say so: the rule is ours, and pure, so that the same edit always shows the same.

1. A fire time that was set by hand is one with the regular one that it represents.
2. On a local day on which as many vanish as appear, the first is one with the first, the second with the second, …
   On other days, two are one if each is the nearest to the other on that day.
3. Of those that are left, two are one if each is the nearest to the other, and they are no further apart than half the
   way to the next fire time of their own schedule.

Of two that are equally near, the earlier one is the nearest. No fire time is in two moves.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple


class MovedTime(NamedTuple):
    """A fire time that comes at another time."""

    before: datetime
    after: datetime


def find_moves(
    before: Sequence[datetime],
    after: Sequence[datetime],
    place: tzinfo,
    by_hand: Iterable[MovedTime] = (),
) -> list[MovedTime]:
    """Return the moves between two lists of fire times, both strictly rising (UTC), in order of the times before.

    `place`: whose local days count. `by_hand`: moves that are known.
    """
    old, new = set(before), set(after)
    gone, come = old - new, new - old
    moves: list[MovedTime] = []

    def take(found: Iterable[MovedTime]) -> None:
        for move in found:
            if move.before in gone and move.after in come:
                gone.remove(move.before)
                come.remove(move.after)
                moves.append(move)

    take(by_hand)
    take(_within_days(sorted(gone), sorted(come), place))
    near = _mutually_nearest(sorted(gone), sorted(come))
    take(move for move in near if _is_near(move, before, after))
    return sorted(moves)


def _within_days(
    gone: Sequence[datetime], come: Sequence[datetime], place: tzinfo
) -> Iterator[MovedTime]:
    vanish, appear = _by_day(gone, place), _by_day(come, place)
    for day, there in vanish.items():
        then = appear.get(day, [])
        if len(there) == len(then):
            yield from map(MovedTime, there, then)
        else:
            yield from _mutually_nearest(there, then)


def _by_day(times: Sequence[datetime], place: tzinfo) -> dict[date, list[datetime]]:
    days = defaultdict(list)
    for at in times:
        days[at.astimezone(place).date()].append(at)
    return days


def _mutually_nearest(gone: Sequence[datetime], come: Sequence[datetime]) -> Iterator[MovedTime]:
    if not come:
        return
    for at in gone:
        there = _nearest(at, come)
        if _nearest(there, gone) == at:
            yield MovedTime(at, there)


def _nearest(at: datetime, times: Sequence[datetime]) -> datetime:
    """Return the nearest of some times, strictly rising; of two, the earlier one."""
    place = bisect_left(times, at)
    around = times[max(place - 1, 0) : place + 1]
    return min(around, key=lambda each: abs(each - at))


def _is_near(move: MovedTime, before: Sequence[datetime], after: Sequence[datetime]) -> bool:
    """Return whether no other fire time of either schedule is as near as twice the way."""
    twice = 2 * abs(move.after - move.before)
    return twice <= _space(move.before, before) and twice <= _space(move.after, after)


def _space(at: datetime, times: Sequence[datetime]) -> timedelta:
    """Return how far the next neighbour of one of the times is."""
    place = bisect_left(times, at)
    others = (*times[max(place - 1, 0) : place], *times[place + 1 : place + 2])
    return min((abs(each - at) for each in others), default=timedelta.max)
