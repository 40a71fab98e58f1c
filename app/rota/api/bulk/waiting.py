"""Requests that wait for the end of a bulk operation."""

import asyncio
import contextlib

from rota.api.http.services import Services
from rota.domain.primitives.ids import Id
from rota.errors import RateLimited, Unavailable
from rota.store.bulk.rows import is_running

# Commits of other processes wake no waiter here, so it looks this often, in seconds.
_LOOK_EVERY = 1.0


async def goes_on(services: Services, id: Id, wait: float) -> bool:
    """Return whether an operation still continues after up to `wait` seconds.

    Where no further request may wait it is not waited for: it is begun, so that an error would have it begun again.
    """
    ends_at = services.clock.monotonic() + wait
    if not await services.reader.run(is_running, id):
        return False
    if not wait:
        return True
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(services.streams.slot())
        except (Unavailable, RateLimited):
            return True
        return not await _has_ended(services, id, ends_at)


async def _has_ended(services: Services, id: Id, ends_at: float) -> bool:
    """Wait for the end of an operation; return whether it came before `ends_at`, by the monotonic clock."""
    while not services.streams.closing:
        with services.waiters.waiting(id) as came_further:
            if not await services.reader.run(is_running, id):
                return True
            left = ends_at - services.clock.monotonic()
            if left <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LOOK_EVERY)):
                    await came_further.wait()
    return False
