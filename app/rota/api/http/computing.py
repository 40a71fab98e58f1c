"""Expensive computations (previews, explanations, backfills, upcoming fire times, large values) share a few slots.

They run in threads, and Python runs one thread at a time: without a limit they would take all threads for requests,
and `/readyz`, reads and the firing pass would wait for them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from rota.api.http.clients.calls import current_call
from rota.domain.step_budget import FOR_A_REQUEST, limited_to
from rota.errors import Unavailable

P = ParamSpec("P")
R = TypeVar("R")

#: How many computations run at the same time, and how many seconds a request waits for a slot.
SLOTS, PATIENCE = 4, 5.0
#: How many long bodies are parsed and validated at the same time, besides those. Others wait: they have been received
#: already, and a refusal would only make clients send them again.
READERS = 2


class Computing:
    """The slots. A computation in one has the step budget of a request."""

    def __init__(self, slots: int = SLOTS, patience: float = PATIENCE) -> None:
        self._free = asyncio.Semaphore(slots)
        self._slots = slots
        self._patience = patience

    async def run(self, compute: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `compute` in a thread once a slot is free; raises Unavailable on timeout, and what `compute` raises.

        A stored key has half of the slots at most; raises RateLimited if others of its requests keep them.
        """
        share = current_call().share
        async with nullcontext() if share is None else share.computing(self._patience):
            return await self._run(compute, *args, **kwargs)

    async def _run(self, compute: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        await self._take_slot()
        try:
            return await run_in_threadpool(partial(_within_budget, compute, *args, **kwargs))
        finally:  # a thread that has started is awaited, also when the client has disconnected
            self._free.release()

    def for_requests(self) -> Callable[[Callable[[], None]], Awaitable[None]]:
        """Return a function that computes in a slot if called on the running loop, else (by the engine) in a thread."""
        loop = asyncio.get_running_loop()

        async def compute(work: Callable[[], None]) -> None:
            here = asyncio.get_running_loop() is loop
            await (self.run(work) if here else asyncio.to_thread(work))

        return compute

    async def _take_slot(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(
                f"{self._slots} previews, explanations, backfills, large registrations or checks of large values are "
                f"being computed, as many as may be at a time, and none ended within {self._patience:g} s. Try again."
            ) from None


def _within_budget(compute: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    with limited_to(FOR_A_REQUEST):
        return compute(*args, **kwargs)
