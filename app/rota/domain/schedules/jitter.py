"""Jitter: fire times moved by an amount that looks random but is a function of the task and the time.

So a preview is true, all replicas agree, and a restart changes nothing.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from rota.domain.fire_time import TICK, FireTime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_LOOK = timedelta(minutes=1)
# How many times in a row are stepped through before the rest is halved.
_WALKED = 64


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
    end_at: datetime,
    after: datetime,
    *,
    moves_all: bool = False,
) -> Iterator[FireTime]:
    """Yield the times of a rule moved forward by up to `jitter`, those strictly after `after`.

    Each stays before the next nominal time, so their order is kept, and not after `end_at`. What does not run stays,
    unless `moves_all`: then no fire time depends on whether it runs.
    """
    # Each is moved by less than the gap after it: of those up to `after` only the last one can come later than that.
    last = latest(nominal, after, jitter)
    times = nominal(after if last is None else last - TICK)
    this = next(times, None)
    while this is not None:
        following = next(times, None)
        limit = end_at + TICK if following is None else following.at
        moved = this if this.skip and not moves_all else _moved(this, name, jitter, limit)
        if moved.at > after:
            yield moved
        this = following


def latest(
    nominal: Callable[[datetime], Iterator[FireTime]], until: datetime, within: timedelta
) -> datetime | None:
    """Return the last nominal time up to `until`, if it is at most `within` before that.

    Rules are only read forwards. A window that grows finds a time before, and halving what lies between finds the last
    one, however many there are.
    """
    low = _some_before(nominal, until, within)
    high = until
    while low is not None and low < high:
        low, done = _walked(nominal(low), low, until)
        if done:
            return low
        low, high = _halved(nominal, low, high)
    return low


def _some_before(
    nominal: Callable[[datetime], Iterator[FireTime]], until: datetime, within: timedelta
) -> datetime | None:
    """Return a nominal time up to `until`, in the shortest window that holds one; None if there is none `within`."""
    back = min(_FIRST_LOOK, within)
    while True:
        first = next(nominal(until - back - TICK), None)
        if first is not None and first.at <= until:
            return first.at
        if back == within:
            return None
        back = min(back * 10, within)


def _walked(times: Iterator[FireTime], last: datetime, until: datetime) -> tuple[datetime, bool]:
    """Return the last of some times up to `until`, and whether it is the last of all of them."""
    for number, time in enumerate(times):
        if time.at > until:
            return last, True
        if number == _WALKED:
            return last, False
        last = time.at
    return last, True


def _halved(
    nominal: Callable[[datetime], Iterator[FireTime]], low: datetime, high: datetime
) -> tuple[datetime, datetime]:
    """Return the half that holds the last nominal time up to `high`: the second one, if there is any in it."""
    middle = low + (high - low) // (2 * TICK) * TICK
    first = next(nominal(middle), None)
    return (low, middle) if first is None or first.at > high else (first.at, high)


def _moved(this: FireTime, name: str, jitter: timedelta, limit: datetime) -> FireTime:
    return FireTime(this.at + shift(name, this.at, min(jitter, limit - this.at)), this.skip)
