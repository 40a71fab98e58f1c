"""The engine: the parts that work without a request, and the order in which they start, drain and stop."""

import contextlib
from collections.abc import Sequence
from concurrent.futures import CancelledError
from datetime import timedelta
from functools import partial

import structlog

from rota.domain.effects import CalendarsChanged, DueSooner, Effect, TaskDeleted
from rota.engine.backfiller import Backfiller
from rota.engine.bulk_runner import BulkRunner
from rota.engine.checks.alert_checker import AlertChecker
from rota.engine.checks.constraint_checker import ConstraintChecker
from rota.engine.checks.lease_expiry import LeaseExpiry
from rota.engine.execution import Execution
from rota.engine.firing import Firing
from rota.engine.holds.held_runs import HeldRuns
from rota.engine.holds.hold_releaser import HoldReleaser
from rota.engine.maintenance import Maintenance
from rota.engine.replanning.calendar_replanner import CalendarReplanner
from rota.engine.replanning.zone_replanner import Replanner
from rota.engine.resources import Resources
from rota.engine.timing.clock_steps import ClockSteps
from rota.engine.timing.wakeable_thread import WakeableThread
from rota.engine.timing.watchdog import Watchdog
from rota.errors import Unavailable
from rota.store.events.stored import EventRetention

log = structlog.get_logger(__name__)

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
        self._execution = Execution(resources)
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
            holder=lambda: self._execution.lease.holder,
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

    def start(self) -> None:
        """Take the lease, release the runs of dead replicas, and begin to fire and claim. Raises Unavailable."""
        self._resources.executor.start()
        self._execution.start()
        self._expiry.forgive()
        self._reap_expired()
        self._replanner.begin()  # before anything fires
        self._calendar_replanner.begin()
        for thread in self._threads:
            thread.start()
        self._check(0.0)

    def stop(self) -> None:
        """Stop claiming, wait the grace period for running attempts, release the others, end the lease."""
        self._execution.running = False
        for thread in reversed(self._threads):
            thread.stop()
        self._execution.stop()
        self._resources.executor.stop()
        self._resources.guard.close()
        self._execution.close()

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
        if not self._execution.running:  # other replicas claim
            return
        self._execution.committed(effects)
        for effect in effects:
            self._react(effect)

    def _react(self, effect: Effect) -> None:
        match effect:
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
        stale, running = resources.settings.stale_after, self._execution.running
        age, lag = self.firing_age(), resources.executor.lag()
        signs = (
            (age > stale, f"the last firing pass was {age:.0f} s ago"),
            (not resources.writer.alive, "the writer has ended"),
            (not running, "the engine is not running"),
            (running and not self._execution.lease.trusted, "the lease was not renewed in time"),
            (resources.executor.fork_server_is_silent(), "the fork server does not answer"),
            (lag > stale, f"the handlers' loop has been stuck for {lag:.0f} s"),
        )
        return [sign for is_so, sign in signs if is_so]

    def warnings(self) -> list[str]:
        """Return what is wrong although the service works, as sentences."""
        return self._replanner.warnings

    def _reap(self) -> None:
        """Release the runs of dead replicas, after renewing the own lease: this process may have been silent."""
        if not self._execution.running:
            return
        with contextlib.suppress(Unavailable, CancelledError):
            self._execution.renew_lease()
            self._reap_expired()

    def _reap_expired(self) -> None:
        lease = self._execution.lease
        self._maintenance.reap(lease.holder, judging=lease.judges)

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
