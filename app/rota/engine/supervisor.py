"""The engine: what runs by itself, put together, and the order in which it starts, drains and stops."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from datetime import timedelta
from typing import Any, TypeVar

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.effects import (
    CancelRequested,
    DueSooner,
    Effect,
    KeysFreed,
    RunsReady,
    TaskDeleted,
)
from rota.domain.kv.entries import KvLimits
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun
from rota.engine.attempts.runner import Runner
from rota.engine.backfiller import Backfilling
from rota.engine.claimer import Claimer, Lane
from rota.engine.constraint_checker import ConstraintChecker
from rota.engine.firing import Firing
from rota.engine.leases import Lease
from rota.engine.maintenance import Maintenance
from rota.engine.replanner import Replanning
from rota.engine.timing.clock_steps import ClockSteps
from rota.engine.timing.periodic import Periodic
from rota.engine.timing.scheduler import Scheduler
from rota.engine.timing.watchdog import Watchdog
from rota.errors import Unavailable
from rota.handlers.calls.event_loop import EventLoop
from rota.handlers.daemon_threads import DaemonThreads
from rota.handlers.executor import Executor
from rota.handlers.processes.process_calls import SUSPECTS_PER_PROCESS
from rota.handlers.registry import Registry
from rota.metrics import Metrics
from rota.settings import Settings
from rota.store.events import EventRetention
from rota.store.handlers import Announce, HandlerInfo
from rota.store.runs.reading import cancel_requested

log = structlog.get_logger(__name__)

T = TypeVar("T")

# What a start or a stop may take besides the grace of a drain.
_PATIENCE = 30.0
_TICK = 1.0
_MOST_READING_THREADS = 4
_REAPS_PER_TTL = 3
# A watchdog that comes later than this was not just kept waiting: the whole process stood still.
_STOOD_STILL = 2.0


class Engine:
    """One process's engine. `start` and `stop` are called from outside its threads."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        writer: Writer,
        clock: Clock,
        metrics: Metrics,
        registry: Registry,
        executor: Executor,
    ) -> None:
        self._settings = settings
        self._database = database
        self._writer = writer
        self._clock = clock
        self._metrics = metrics
        self._registry = registry
        self._executor = executor
        self._firing = Firing(database, writer, clock, metrics)
        self._backfilling = Backfilling(database, writer)
        self._constraints = ConstraintChecker(database, writer, clock, settings.constraint_interval)
        self._scheduler = Scheduler(clock, self._firing.ring)
        self._watchdog = Watchdog(
            settings.watchdog_interval, self._look_around, clock, settings.freeze_limit
        )
        self._clock_steps = ClockSteps(clock)
        self._maintenance = Maintenance(
            database,
            writer,
            clock,
            timedelta(seconds=settings.delete_after),
            EventRetention(timedelta(seconds=settings.event_retention), settings.max_event_commits),
            self._clock_steps,
        )
        self._reaping = Periodic(settings.lease_ttl / _REAPS_PER_TTL, self._reap, "reaping")
        self._cleaning = Periodic(
            settings.maintenance_interval, self._maintenance.clean, "maintenance"
        )
        self._replanning = Replanning(database, writer, clock)
        self._looking_at_zones = Periodic(
            settings.lease_ttl / _REAPS_PER_TTL, self._replanning.look, "zones"
        )
        self._loop = EventLoop()
        self._thread = threading.Thread(target=self._run_loop, name="rota-engine", daemon=True)
        self._tasks: list[asyncio.Task[None]] = []
        self._running = False

    def start(self) -> None:
        """Take the lease, give back what died before, and begin to fire and claim. Raises Unavailable."""
        self._executor.start()
        self._thread.start()
        self._ask(self._start())
        self._maintenance.reap(self._lease.holder, judging=self._lease.judges)
        self._replanning.begin()  # before anything fires
        self._reaping.start()
        self._cleaning.start()
        self._looking_at_zones.start()
        self._scheduler.start()
        self._firing.start(self._scheduler)
        self._constraints.start()
        self._backfilling.start()
        self._watchdog.start()
        self._look_around(0.0)

    def stop(self) -> None:
        """Stop picking, wait the grace time for what runs, give the rest back, end the lease."""
        self._running = False
        self._watchdog.stop()
        self._scheduler.stop()
        self._reaping.stop()
        self._cleaning.stop()
        self._looking_at_zones.stop()
        self._firing.stop()
        self._constraints.stop()
        self._backfilling.stop()
        with contextlib.suppress(Unavailable):
            self._ask(self._stop(), self._settings.drain_grace + _PATIENCE)
        self._executor.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def committed(self, effects: Sequence[Effect]) -> None:
        """Do what a commit hands on; called in the writer's thread, never waits."""
        self._maintenance.note(effects)
        self._constraints.note(effects)
        self._backfilling.note(effects)
        due = [effect.at for effect in effects if isinstance(effect, DueSooner)]
        if due:
            self._scheduler.wake_at(min(due))
        queues = {effect.queue for effect in effects if isinstance(effect, RunsReady)}
        if queues:
            self._soon(self._wake, queues)
        for effect in effects:
            if isinstance(effect, CancelRequested):
                self._soon(self._cancel, effect)
            elif isinstance(effect, KeysFreed):
                self._soon(self._promote, effect)
            elif isinstance(effect, TaskDeleted):
                self._cleaning.hurry()

    def firing_age(self) -> float:
        """Return the age of the last firing pass in seconds."""
        return self._firing.age()

    def troubles(self) -> list[str]:
        """Return what keeps the service from doing its work; nothing, if all is well."""
        stale, age, lag = self._settings.stale_after, self.firing_age(), self.handler_lag()
        signs = (
            (age > stale, f"the last firing pass was {age:.0f} s ago"),
            (not self._writer.alive, "the writer has ended"),
            (not self._running, "the engine is not running"),
            (self._running and not self._lease.trusted, "the lease was not renewed in time"),
            (self._executor.process_server_is_silent(), "the process server does not answer"),
            (lag > stale, f"the handlers' loop has been stuck for {lag:.0f} s"),
        )
        return [sign for is_so, sign in signs if is_so]

    def warnings(self) -> list[str]:
        """Return what is not as it should be, though the service does its work."""
        return self._replanning.warnings

    def handler_lag(self) -> float:
        """Return how many seconds the handlers' event loop is behind."""
        return self._executor.lag()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        reading = DaemonThreads("rota-engine-reads", _MOST_READING_THREADS)
        self._loop.set_default_executor(reading)
        self._loop.run_forever()
        reading.shutdown()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.wait(left) if left else asyncio.sleep(0))

    def _ask(self, work: Coroutine[Any, Any, T], timeout: float = _PATIENCE) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise Unavailable("The engine did not answer in time.") from None

    async def _start(self) -> None:
        self._lease = Lease(
            self._writer,
            self._clock,
            ttl=self._settings.lease_ttl,
            handlers=tuple(self._registry),
            on_lost=self._lost,
        )
        self._runner = self._make_runner()
        self._claimer = Claimer(
            self._database,
            self._writer,
            self._lease,
            self._lanes(),
            begin=self._runner.begin,
            give_back=self._runner.give_back,
        )
        await self._lease.enlist()
        await self._writer.run(Announce(tuple(self._announced())))
        self._tasks = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("lease", self._lease.keep()),
                ("claiming", self._claimer.run()),
                ("tick", self._tick()),
            )
        ]
        self._running = True

    async def _stop(self) -> None:
        if not self._tasks:  # the start failed before there was anything to stop
            return
        lease, claiming, tick = self._tasks
        # The lease is kept while draining: others must not take what still runs here.
        for task in (claiming, tick):
            task.cancel()
        await asyncio.gather(claiming, tick, return_exceptions=True)
        try:
            with contextlib.suppress(Unavailable):
                await self._claimer.settle()
            await self._runner.drain(self._settings.drain_grace)
        finally:
            # Whatever a drain has met with: others are to take over at once what is left.
            lease.cancel()
            await asyncio.gather(lease, return_exceptions=True)
            await self._lease.retire()

    def _make_runner(self) -> Runner:
        return Runner(
            self._database,
            self._writer,
            self._clock,
            self._metrics,
            self._registry,
            self._executor,
            lease=self._lease,
            max_log_bytes=self._settings.max_log_bytes,
            kv_limits=KvLimits.of(self._settings),
            release=self._release,
            ended=self._ended,
        )

    def _lanes(self) -> list[Lane]:
        heavy = tuple(
            name for name in self._registry if self._registry.lookup(name).kind == "process"
        )
        light = tuple(name for name in self._registry if name not in heavy)
        slots = self._settings.process_concurrency
        most = slots * SUSPECTS_PER_PROCESS
        # All of them, `http` too: a task may have got another handler since its run was lost.
        suspect = tuple(self._registry)
        return [
            Lane(light, per_queue=self._settings.concurrency),
            Lane(heavy, per_queue=slots, total=slots),
            Lane(suspect, per_queue=most, total=most, suspects=True),
        ]

    def _announced(self) -> Iterator[HandlerInfo]:
        for name in self._registry:
            known = self._registry.lookup(name)
            yield HandlerInfo(
                name=name,
                description=known.description,
                input_schema=known.input_schema,
                timeout=known.timeout,
                isolation="process" if known.kind == "process" else "none",
            )

    def _release(self, run: ClaimedRun) -> None:
        self._claimer.release(run)

    def _ended(self, queue: str) -> None:
        self._claimer.ended(queue)

    def _reap(self) -> None:
        """Look for the dead, after renewing our own lease: if it was we who were away, nobody may be dead."""
        if not self._running:
            return
        with contextlib.suppress(Unavailable, CancelledError):
            self._ask(self._lease.renew())
            self._maintenance.reap(self._lease.holder, judging=self._lease.judges)

    def _lost(self) -> None:
        self._runner.abandon()

    async def _tick(self) -> None:
        """Once a second: keep what runs have said, and see what other processes asked for."""
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
        with self._database.read() as connection:
            return cancel_requested(connection, self._lease.holder)

    def _look_around(self, stood_still: float) -> None:
        """The watchdog's round; `stood_still`: for how many seconds nothing went on, not even the watchdog."""
        if stood_still > _STOOD_STILL:
            self._executor.excuse()
            log.warning("process.stood_still", seconds=round(stood_still, 1))
        self._clock_steps.look()
        self._firing.ring()
        self._backfilling.ring()
        lag = self._executor.lag()
        self._metrics.handler_lag.set(lag)
        if lag > 1:
            blocking = self._executor.blocking()
            log.warning(
                "handlers.blocked",
                seconds=round(lag, 1),
                run=str(blocking) if blocking else None,
                left=self._executor.relieve(),
            )

    def _wake(self, queues: set[str]) -> None:
        self._claimer.wake(queues)

    def _promote(self, effect: KeysFreed) -> None:
        self._claimer.promote_soon(effect.keys)

    def _cancel(self, effect: CancelRequested) -> None:
        self._runner.cancel(effect.run_id)

    def _soon(self, call: Any, *args: Any) -> None:
        """Call on the engine's loop; what comes before the start or after the stop is for somebody else."""
        if self._running:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call, *args)
