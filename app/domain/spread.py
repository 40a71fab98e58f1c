"""Spreading: fire times moved by an amount that looks random but is a function of the task and the time.

So a preview is true, all replicas agree, and a restart changes nothing.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from app.domain.policies import SkipReason

#: The precision of all times: whole milliseconds.
TICK = timedelta(milliseconds=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_LOOK = timedelta(minutes=1)


class FireTime(NamedTuple):
    """An instant at which a schedule is due; with `skip` it is told as a skipped run and not run."""

    at: datetime  # UTC, whole milliseconds
    skip: SkipReason | None = None


def shift(name: str, at: datetime, window: timedelta) -> timedelta:
    """Return a whole number of milliseconds from 0 to below `window`: a function of the task's name and the instant."""
    ticks = window // TICK
    if ticks <= 1:
        return timedelta()
    seed = f"{name}\n{(at - _EPOCH) // TICK}".encode()
    number = int.from_bytes(blake2b(seed, digest_size=8).digest())
    return timedelta(milliseconds=(number * ticks) >> 64)


def with_jitter(
    nominal: Callable[[datetime], Iterator[FireTime]],
    name: str,
    jitter: timedelta,
    end_at: datetime | None,
    after: datetime,
) -> Iterator[FireTime]:
    """Yield the times of a rule moved forward by up to `jitter`, those strictly after `after`.

    Each stays before the next nominal time, so their order is kept, and not after `end_at`. What does not run stays.
    """
    times = nominal(_latest_before(nominal, jitter, after))
    this = next(times, None)
    while this is not None:
        following = next(times, None)
        limit = end_at + TICK if end_at is not None else None
        moved = _moved(this, name, jitter, limit if following is None else following.at)
        if moved.at > after:
            yield moved
        this = following


def _moved(this: FireTime, name: str, jitter: timedelta, limit: datetime | None) -> FireTime:
    if this.skip is not None:
        return this
    window = jitter if limit is None else min(jitter, limit - this.at)
    return FireTime(this.at + shift(name, this.at, window))


def _latest_before(
    nominal: Callable[[datetime], Iterator[FireTime]], jitter: timedelta, after: datetime
) -> datetime:
    """Return a time shortly before the last nominal time up to `after`: only that one can be moved beyond `after`."""
    back = min(_FIRST_LOOK, jitter)
    while True:
        latest = after - back - TICK
        for time in nominal(latest):
            if time.at > after:
                break
            latest = time.at - TICK
        if latest > after - back - TICK or back == jitter:
            return latest
        back = min(back * 10, jitter)
