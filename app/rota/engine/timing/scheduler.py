"""The clock: APScheduler rings a bell when something is due. It knows no tasks; those live in the database.

Its job only rings. A job that did the work itself would lose wake-ups: one that is moved while it runs is
skipped at `max_instances`, and its next time is then far away.

APScheduler holds a lock while it works out when its jobs run next. Only a thread of this module asks it for anything:
whoever wants to be woken notes the time and goes on, the writer above all.
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

log = structlog.get_logger(__name__)

_FIRE = "fire"
# How long a stop waits for the thread that asks APScheduler.
_PATIENCE = 2.0


class _Seldom(BaseTrigger):  # type: ignore[misc]  # APScheduler has no annotations
    """Once a day from now: the job's time is set by `modify_job`, but with a trigger that ends the job would vanish.

    It is never behind `now`. APScheduler steps through all that is, one by one, with its lock held: after a clock
    was set forward by a year those would be millions.
    """

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        return now + timedelta(days=1)


class Scheduler:
    """Rings `ring` at the earliest time that anybody asked for."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        # Held for a moment only, never while APScheduler is asked.
        self._lock = threading.Lock()
        self._set_to: datetime | None = None
        self._asked: datetime | None = None
        self._changed = threading.Event()
        self._stopping = False
        self._setting = threading.Thread(target=self._keep_set, name="rota-alarm", daemon=True)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1_000, "misfire_grace_time": None},
        )
        self._scheduler.add_job(ring, _Seldom(), id=_FIRE)

    def start(self) -> None:
        self._scheduler.start()
        self._setting.start()

    def stop(self) -> None:
        """Stop for good; asking for a wake-up afterwards does nothing."""
        self._stopping = True
        self._changed.set()
        if self._setting.ident is not None:
            self._setting.join(_PATIENCE)
        try:
            self._scheduler.shutdown(wait=False)
        except SchedulerNotRunningError:
            return

    def wake_at(self, at: datetime) -> None:
        """Ring at `at`, or sooner; safe from any thread, never waits, cheap when something sooner is set."""
        with self._lock:
            self._asked = at if self._asked is None else min(self._asked, at)
            if self._set_to is None or at < self._set_to:
                self._set(at)

    def pass_begins(self) -> None:
        """Forget what was asked for so far: the pass that begins will see it in the database."""
        with self._lock:
            self._asked = None

    def pass_ended(self, next_due: datetime | None) -> None:
        """Set the clock to what is due next, or to what was asked for since the pass began."""
        with self._lock:
            times = [at for at in (next_due, self._asked) if at is not None]
            self._set_to = None
            if times:
                self._set(min(times))

    def _set(self, at: datetime) -> None:
        self._set_to = at
        if at <= self._clock.now():
            self._ring()
        else:
            self._changed.set()

    def _keep_set(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            if self._stopping:
                return
            with self._lock:
                at = self._set_to
            if at is not None:
                self._move(at)

    def _move(self, at: datetime) -> None:
        try:
            self._scheduler.modify_job(_FIRE, next_run_time=at)
        except JobLookupError:  # stopped meanwhile
            return
        except Exception:  # the watchdog rings all the same
            log.exception("alarm.not_set", at=at.isoformat())
