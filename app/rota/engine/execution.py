"""The execution of runs: the lease, the claimer and the runner, how they start, drain and stop on one event loop."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

import structlog

from rota.domain.effects import CancelRequested, Effect, KeysFreed, OutsideAttemptEnded, RunsReady
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun
from rota.engine.attempts.runner import Runner
from rota.engine.claimer import Claimer
from rota.engine.lanes import lanes_of
from rota.engine.leases import Lease
from rota.engine.resources import Resources
from rota.engine.timing.loop_thread import LoopThread
from rota.errors import Unavailable
from rota.store.handlers import Announce, HandlerInfo, describe_handler
from rota.store.runs.reading import cancel_requested

log = structlog.get_logger(__name__)

# How many seconds a start may take, and a stop besides the grace period of its drain.
_TIMEOUT = 30.0
_TICK = 1.0
_READING_THREADS = 4


class Execution:
    """What claims and executes runs in one process. Its public methods are called from outside its event loop."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._loop = LoopThread("rota-engine", _READING_THREADS)
        self._tasks: list[asyncio.Task[None]] = []
        #: From the end of the start to the beginning of the stop.
        self.running = False

    @property
    def lease(self) -> Lease:
        """The lease of this process, from the start on."""
        return self._lease

    def start(self) -> None:
        """Take the lease and begin to claim; raises Unavailable."""
        self._loop.start()
        self._loop.run(self._start(), _TIMEOUT)

    def stop(self) -> None:
        """Stop claiming, wait the grace period for running attempts, release the others, end the lease."""
        with contextlib.suppress(Unavailable):
            self._loop.run(self._stop(), self._resources.settings.drain_grace + _TIMEOUT)

    def close(self) -> None:
        """End the event loop."""
        self._loop.stop()

    def renew_lease(self) -> None:
        """Renew the lease now; raises Unavailable, and CancelledError if the loop ends meanwhile."""
        self._loop.run(self._lease.renew(), _TIMEOUT)

    def committed(self, effects: Sequence[Effect]) -> None:
        """React to the effects of a commit while this runs; called in the writer's thread, never blocks."""
        queues = {effect.queue for effect in effects if isinstance(effect, RunsReady)}
        if queues:
            self._loop.call_soon(self._claimer.wake, queues)
        for effect in effects:
            self._react(effect)

    def _react(self, effect: Effect) -> None:
        match effect:
            case CancelRequested():
                self._loop.call_soon(self._runner.cancel, effect.run_id)
            case OutsideAttemptEnded():
                self._loop.call_soon(self._ended_outside, effect)
            case KeysFreed():
                self._loop.call_soon(self._claimer.promote_soon, effect.keys)
            case _:
                pass

    async def _start(self) -> None:
        resources = self._resources
        self._lease = Lease(
            resources.writer,
            resources.clock,
            ttl=resources.settings.lease_ttl,
            handlers=tuple(resources.registry),
            on_lost=self._lost,
        )
        self._runner = Runner(
            resources, self._lease, free_slot=self._free_slot, ended=self._run_ended
        )
        self._claimer = Claimer(
            resources.database,
            resources.writer,
            self._lease,
            lanes_of(resources.registry, resources.settings),
            begin=self._runner.begin,
            release=self._runner.release,
        )
        await self._lease.enlist()
        taken = await resources.writer.run(Announce(tuple(self._handlers())))
        if taken:
            log.warning(
                "handlers.taken_over", handlers=taken, effect="workers lease no more of their runs"
            )
        self._tasks = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("lease", self._lease.keep()),
                ("claiming", self._claimer.run()),
                ("tick", self._tick()),
            )
        ]
        self.running = True

    async def _stop(self) -> None:
        if not self._tasks:  # the start failed before there was anything to stop
            return
        lease, claiming, tick = self._tasks
        # The lease is kept while draining: other replicas must not take what still runs here.
        for task in (claiming, tick):
            task.cancel()
        await asyncio.gather(claiming, tick, return_exceptions=True)
        try:
            with contextlib.suppress(Unavailable):
                await self._claimer.release_unknown()
            await self._runner.drain(self._resources.settings.drain_grace)
        finally:
            # Also if the drain failed: other replicas are to take over at once what is left.
            lease.cancel()
            await asyncio.gather(lease, return_exceptions=True)
            await self._lease.retire()

    def _handlers(self) -> Iterator[HandlerInfo]:
        registry = self._resources.registry
        for name in registry:
            yield describe_handler(registry.lookup(name))

    def _free_slot(self, run: ClaimedRun) -> None:
        self._claimer.free_slot(run)

    def _run_ended(self, queue: str) -> None:
        self._claimer.ended(queue)

    def _ended_outside(self, ended: OutsideAttemptEnded) -> None:
        self._claimer.ended(ended.queue)
        self._runner.ended_outside(ended)

    def _lost(self) -> None:
        self._runner.abandon()

    async def _tick(self) -> None:
        """Once a second: store what runs have reported, and read what other processes have requested."""
        while True:
            await asyncio.sleep(_TICK)
            try:
                await self._runner.flush()
                for run_id in await asyncio.to_thread(self._cancels):
                    self._runner.cancel(run_id)
                await self._claimer.discover()
            except Unavailable as error:
                log.warning("tick.unavailable", error=error.detail)
            except Exception:
                log.exception("tick.failed")

    def _cancels(self) -> list[Id]:
        with self._resources.database.read() as connection:
            return cancel_requested(connection, self._lease.holder)
