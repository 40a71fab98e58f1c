"""The scheduler: APScheduler calls `wake` at the next fire time. It knows no tasks; those are in the database.

Its only job calls `wake`. A job that fired the tasks itself would lose wake-ups: a job that is moved while it runs is
skipped at `max_instances`, and its next time is then far away.

APScheduler holds a lock while it computes when its jobs run next. Only the thread of this module calls it: other
threads, above all the writer's, note the time they need and return.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers import SchedulerNotRunningError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from rota.clock import Clock
from rota.engine.timing.wakeable_thread import WakeableThread

log = structlog.get_logger(__name__)

_FIRE = "fire"
# How many seconds a stop waits for the thread that calls APScheduler.
_STOP_TIMEOUT = 2.0


class _Daily(BaseTrigger):  # type: ignore[misc]  # APScheduler has no annotations
    """Once a day from now: `modify_job` sets the job's time, but a job whose trigger ends is removed.

    It is never behind `now`: APScheduler steps through every missed time with its lock held, which would be millions
    after a clock was set forward by a year.
    """

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + timedelta(days=1)


class Scheduler:
    """Calls `wake` at the earliest of the requested times."""

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        # Held only briefly, never while APScheduler is called.
        self._lock = threading.Lock()
        self._set_to: datetime | None = None
        self._requested: datetime | None = None
        self._thread = WakeableThread("alarm", self._apply, stop_timeout=_STOP_TIMEOUT)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1_000, "misfire_grace_time": None},
        )
        self._scheduler.add_job(wake, _Daily(), id=_FIRE)

    def start(self) -> None:
        self._scheduler.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop for good; requesting a wake-up afterwards has no effect."""
        self._thread.stop()
        try:
            self._scheduler.shutdown(wait=False)
        except SchedulerNotRunningError:
            return

    def wake_at(self, at: datetime) -> None:
        """Wake at `at` or earlier. Safe from any thread; never blocks; cheap when an earlier time is set."""
        with self._lock:
            self._requested = at if self._requested is None else min(self._requested, at)
            if self._set_to is None or at < self._set_to:
                self._set(at)

    def pass_begins(self) -> None:
        """Forget the times requested so far: the pass that begins reads them from the database."""
        with self._lock:
            self._requested = None

    def pass_ended(self, next_due: datetime | None) -> None:
        """Set the time to the next due time, or to an earlier one requested since the pass began."""
        with self._lock:
            times = [at for at in (next_due, self._requested) if at is not None]
            self._set_to = None
            if times:
                self._set(min(times))

    def _set(self, at: datetime) -> None:
        self._set_to = at
        if at <= self._clock.now():
            self._wake()
        else:
            self._thread.wake()

    def _apply(self) -> None:
        """Hand the time that was set last to APScheduler."""
        with self._lock:
            at = self._set_to
        if at is None:
            return
        try:
            self._scheduler.modify_job(_FIRE, next_run_time=at)
        except JobLookupError:  # stopped meanwhile
            return
        except Exception:  # the watchdog wakes the firing thread anyway
            log.exception("alarm.not_set", at=at.isoformat())
