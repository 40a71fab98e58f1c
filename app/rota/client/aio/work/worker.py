"""The loop of a worker: it leases runs as long as it has room for more."""

import logging
from collections.abc import Sequence
from typing import Any

from rota.client.aio.administration import AsyncHandlers, AsyncQueues
from rota.client.aio.concurrency import Flag, begin, signals
from rota.client.aio.transport import AsyncTransport
from rota.client.aio.work.attempt import AsyncAttempt
from rota.client.errors import ProblemError, Unreachable
from rota.client.models.work import LeasedRun
from rota.client.problems import Forbidden, NotFound
from rota.client.retries import may_pass, pause_after
from rota.client.worker_handler import HandlerMap, WorkerHandler, function_of

log = logging.getLogger("rota.client.worker")

_LONGEST_WAIT = 30.0


class AsyncWorker:
    """Executes runs of a queue, until it is stopped."""

    def __init__(
        self,
        transport: AsyncTransport,
        queue: str,
        handlers: HandlerMap,
        *,
        concurrency: int,
        lease: float,
        wait: float,
        kv: Sequence[str],
    ) -> None:
        if not handlers:
            raise ValueError("A worker needs a handler")
        self._transport = transport
        self._queues = AsyncQueues(transport)
        self._queue = queue
        self._handlers = dict(handlers)
        self._concurrency = concurrency
        self._lease = lease
        self._wait = min(wait, _LONGEST_WAIT)
        self._kv = kv
        self._stopping = Flag()
        self._room = Flag()
        self._busy: set[str] = set()

    def stop(self) -> None:
        """Let it end: it takes no more runs, and completes those that it has."""
        self._stopping.set()
        self._room.set()

    async def run(self, *, handle_signals: bool = True) -> None:
        """Declare the handlers, then execute runs until `stop`, or SIGINT or SIGTERM.

        Raises ProblemError if the service refuses the worker as such (its key, its handlers).
        """
        with signals(self.stop if handle_signals else _nothing):
            await self._declare()
            try:
                await self._work()
            finally:
                self.stop()
                while self._busy:
                    await self._until_fewer(len(self._busy))

    async def _work(self) -> None:
        failures = 0
        while not self._stopping.is_set:
            try:
                leased = await self._take()
            except (ProblemError, Unreachable) as error:
                if not may_pass(error):
                    raise
                failures += 1
                wait = pause_after(error, failures)
                log.warning("no runs in the next %.1f s: %s", wait, error)
                await self._stopping.wait(wait)
            else:
                failures = 0
                for each in leased:
                    self._begin(each)

    async def _take(self) -> Sequence[LeasedRun]:
        """Lease as many runs as there is room for; wait until there is some."""
        await self._until_fewer(self._concurrency)
        if self._stopping.is_set:
            return []
        room = self._concurrency - len(self._busy)
        return await self._queues.lease(
            self._queue,
            list(self._handlers),
            most=min(room, 100),
            wait=self._wait,
            lease=self._lease,
            kv=self._kv,
        )

    def _begin(self, leased: LeasedRun) -> None:
        # A service that is older does not say which one.
        name = leased.handler or next(iter(self._handlers))
        function = function_of(self._handlers[name])
        attempt = AsyncAttempt(self._transport, leased, function, self._lease)
        self._busy.add(leased.token)
        begin(self._execute, leased.token, attempt)

    async def _execute(self, token: str, attempt: AsyncAttempt) -> None:
        try:
            await attempt.execute()
        finally:
            self._busy.discard(token)
            self._room.set()

    async def _until_fewer(self, number: int) -> None:
        """Wait until fewer runs than this are executed here, or at least one has ended."""
        self._room = Flag()
        if len(self._busy) >= number:
            await self._room.wait()

    async def _declare(self) -> None:
        handlers = AsyncHandlers(self._transport)
        for name, handler in self._handlers.items():
            try:
                await self._declare_one(handlers, name, handler)
            except Forbidden as error:
                # A key that may only work: somebody else declares the handlers.
                log.info("the handler %r is not declared: %s", name, error)

    async def _declare_one(self, handlers: AsyncHandlers, name: str, handler: Any) -> None:
        if isinstance(handler, WorkerHandler):
            await handlers.declare(
                name,
                description=handler.description,
                input_schema=handler.input_schema,
                timeout=handler.timeout,
            )
            return
        try:
            await handlers.read(name)
        except NotFound:
            await handlers.declare(name)


def _nothing() -> None: ...
