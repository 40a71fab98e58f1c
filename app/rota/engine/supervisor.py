"""The engine: the parts that work without a request, and the order in which they start, drain and stop."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from datetime import timedelta
from functools import partial

import structlog

from rota.domain.effects import (
    CalendarsChanged,
    CancelRequested,
    DueSooner,
    Effect,
    KeysFreed,
    OutsideAttemptEnded,
    RunsReady,
    TaskDeleted,
)
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun
from rota.engine.attempts.runner import Runner
from rota.engine.backfiller import Backfiller
from rota.engine.bulk_runner import BulkRunner
from rota.engine.checks.alert_checker import AlertChecker
from rota.engine.checks.constraint_checker import ConstraintChecker
from rota.engine.checks.lease_expiry import LeaseExpiry
from rota.engine.claimer import Claimer
from rota.engine.firing import Firing
from rota.engine.held_runs import HeldRuns
from rota.engine.hold_releaser import HoldReleaser
from rota.engine.lanes import lanes_of
from rota.engine.leases import Lease
from rota.engine.maintenance import Maintenance
from rota.engine.replanning.calendar_replanner import CalendarReplanner
from rota.engine.replanning.zone_replanner import Replanner
from rota.engine.resources import Resources
from rota.engine.timing.clock_steps import ClockSteps
from rota.engine.timing.loop_thread import LoopThread
from rota.engine.timing.wakeable_thread import WakeableThread
from rota.engine.timing.watchdog import Watchdog
from rota.errors import Unavailable
from rota.store.events.stored import EventRetention
from rota.store.handlers import Announce, HandlerInfo, describe_handler
from rota.store.runs.reading import cancel_requested

log = structlog.get_logger(__name__)

# How many seconds a start may take, and a stop besides the grace period of its drain.
_TIMEOUT = 30.0
_TICK = 1.0
_READING_THREADS = 4
_REAPS_PER_TTL = 3
# How many seconds a stop waits for a periodic job in progress; it is left to its daemon thread then.
_STOP_TIMEOUT = 2.0
# A watchdog that is later than this (seconds) was not just delayed: the whole process stood still.
_STOOD_STILL = 2.0


class Engine:
    """The engine of one process. `start` and `stop` are called from outside its threads."""

    def __init__(self, resources: Resources) -> None:
        settings, clock = resources.settings, resources.clock
        database, writer = resources.database, resources.writer
        self._resources = resources
        self._clock_steps = ClockSteps(clock)
        self._maintenance = Maintenance(
            database,
            writer,
            clock,
            timedelta(seconds=settings.delete_after),
            EventRetention(timedelta(seconds=settings.event_retention), settings.max_event_commits),
            self._clock_steps,
            timedelta(seconds=settings.audit_age),
        )
        self._replanner = Replanner(database, writer, clock)
        self._calendar_replanner = CalendarReplanner(database, writer, clock)
        self._expiry = LeaseExpiry(
            database,
            writer,
            clock,
            self._clock_steps,
            interval=settings.watchdog_interval,
            ttl=timedelta(seconds=settings.lease_ttl),
            holder=lambda: self._lease.holder,
        )
        self._firing = Firing(database, writer, clock, resources.metrics, self._expiry)
        self._constraints = ConstraintChecker(
            database, writer, clock, settings.constraint_interval, resources.guard
        )
        self._backfiller = Backfiller(database, writer)
        self._hold_releaser = HoldReleaser(database, writer, clock, settings.watchdog_interval)
        self._bulk_runner = BulkRunner(database, writer, clock)
        self._alert_checker = AlertChecker(
            database,
            writer,
            clock,
            settings.watchdog_interval,
            ready=lambda: self._firing.has_passed,
        )
        self._held_runs = HeldRuns(database, writer, clock, settings.watchdog_interval)
        periodic = partial(WakeableThread, stop_timeout=_STOP_TIMEOUT)
        reap_interval = settings.lease_ttl / _REAPS_PER_TTL
        self._cleaning = periodic(
            "maintenance", self._maintenance.clean, settings.maintenance_interval
        )
        self._calendars = periodic("calendars", self._calendar_replanner.check, reap_interval)
        # In the order in which they start; they stop in the reverse order.
        self._threads: tuple[WakeableThread, ...] = (
            periodic("reaping", self._reap, reap_interval),
            self._cleaning,
            periodic("zones", self._replanner.check, reap_interval),
            self._calendars,
            self._firing,
            self._constraints,
            self._backfiller,
            self._hold_releaser,
            self._bulk_runner,
            self._alert_checker,
            self._held_runs,
            Watchdog(settings.watchdog_interval, self._check, clock, settings.freeze_limit),
        )
        self._loop = LoopThread("rota-engine", _READING_THREADS)
        self._tasks: list[asyncio.Task[None]] = []
        self._running = False

    def start(self) -> None:
        """Take the lease, release the runs of dead replicas, and begin to fire and claim. Raises Unavailable."""
        self._resources.executor.start()
        self._loop.start()
        self._loop.run(self._start(), _TIMEOUT)
        self._expiry.forgive()
        self._maintenance.reap(self._lease.holder, judging=self._lease.judges)
        self._replanner.begin()  # before anything fires
        self._calendar_replanner.begin()
        for thread in self._threads:
            thread.start()
        self._check(0.0)

    def stop(self) -> None:
        """Stop claiming, wait the grace period for running attempts, release the others, end the lease."""
        self._running = False
        for thread in reversed(self._threads):
            thread.stop()
        with contextlib.suppress(Unavailable):
            self._loop.run(self._stop(), self._resources.settings.drain_grace + _TIMEOUT)
        self._resources.executor.stop()
        self._resources.guard.close()
        self._loop.stop()

    def committed(self, effects: Sequence[Effect]) -> None:
        """React to the effects of a commit; called in the writer's thread, never blocks."""
        self._maintenance.committed(effects)
        self._constraints.committed(effects)
        self._backfiller.committed(effects)
        self._held_runs.committed(effects)
        self._hold_releaser.committed(effects)
        self._bulk_runner.committed(effects)
        due = [effect.at for effect in effects if isinstance(effect, DueSooner)]
        if due:
            self._firing.scheduler.wake_at(min(due))
        if not self._running:  # other replicas claim
            return
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
            case CalendarsChanged():
                self._calendars.wake()
            case TaskDeleted():
                self._cleaning.wake()
            case _:
                pass

    def firing_age(self) -> float:
        """Return the age of the last firing pass in seconds."""
        return self._firing.age()

    def troubles(self) -> list[str]:
        """Return what keeps the service from working, as sentences without a full stop; empty if it works."""
        resources = self._resources
        stale = resources.settings.stale_after
        age, lag = self.firing_age(), resources.executor.lag()
        signs = (
            (age > stale, f"the last firing pass was {age:.0f} s ago"),
            (not resources.writer.alive, "the writer has ended"),
            (not self._running, "the engine is not running"),
            (self._running and not self._lease.trusted, "the lease was not renewed in time"),
            (resources.executor.fork_server_is_silent(), "the fork server does not answer"),
            (lag > stale, f"the handlers' loop has been stuck for {lag:.0f} s"),
        )
        return [sign for is_so, sign in signs if is_so]

    def warnings(self) -> list[str]:
        """Return what is wrong although the service works, as sentences."""
        return self._replanner.warnings

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
        self._running = True

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

    def _reap(self) -> None:
        """Release the runs of dead replicas, after renewing the own lease: this process may have been silent."""
        if not self._running:
            return
        with contextlib.suppress(Unavailable, CancelledError):
            self._loop.run(self._lease.renew(), _TIMEOUT)
            self._maintenance.reap(self._lease.holder, judging=self._lease.judges)

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

    def _check(self, stood_still: float) -> None:
        """Wake the threads whose events may occur in other processes, and measure the handlers' loop.

        `stood_still`: for how many seconds the whole process, the watchdog included, did not run.
        """
        executor = self._resources.executor
        if stood_still > _STOOD_STILL:
            executor.reset_lag()
            log.warning("process.stood_still", seconds=round(stood_still, 1))
        self._clock_steps.check()
        self._firing.wake()
        self._backfiller.wake()
        self._bulk_runner.wake()
        lag = executor.lag()
        self._resources.metrics.handler_lag.set(lag)
        if lag > 1:
            blocking = executor.blocking()
            log.warning(
                "handlers.blocked",
                seconds=round(lag, 1),
                run=str(blocking) if blocking else None,
                left=executor.replace_stuck_loop(),
            )
