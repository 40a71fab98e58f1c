"""The clock: APScheduler rings a bell when something is due. It knows no tasks; those live in the database.

Its jobs only ring. A job that did the work itself would lose wake-ups: one that is moved while it runs is
skipped at `max_instances`, and its next time is then years away.
"""

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers import SchedulerNotRunningError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from app.clock import Clock

# The job needs a trigger that never ends (a `date` job vanishes after running); its time is set by `modify_job`.
_YEARS = 100_000_000
_FIRE = "fire"


class Scheduler:
    """Rings `ring` at the earliest time that anybody asked for."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._lock = threading.Lock()
        self._set_to: datetime | None = None
        self._asked: datetime | None = None
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1_000, "misfire_grace_time": None},
        )
        self._scheduler.add_job(ring, IntervalTrigger(seconds=_YEARS), id=_FIRE)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Stop for good; asking for a wake-up afterwards does nothing."""
        try:
            self._scheduler.shutdown(wait=False)
        except SchedulerNotRunningError:
            return

    def every(self, seconds: float, job: Callable[[], None], name: str) -> None:
        """Call `job` every so often, never twice at a time."""
        self._scheduler.add_job(job, IntervalTrigger(seconds=seconds), id=name, max_instances=1)

    def hurry(self, name: str) -> None:
        """Have the job of that name called now, besides its own times."""
        with contextlib.suppress(JobLookupError):  # stopped meanwhile
            self._scheduler.modify_job(name, next_run_time=self._clock.now())

    def wake_at(self, at: datetime) -> None:
        """Ring at `at`, or sooner; safe from any thread, cheap when something sooner is set."""
        with self._lock:
            self._asked = at if self._asked is None else min(self._asked, at)
            if self._set_to is None or at < self._set_to:
                self._move(at)

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
                self._move(min(times))

    def _move(self, at: datetime) -> None:
        self._set_to = at
        if at <= self._clock.now():
            self._ring()
            return
        try:
            self._scheduler.modify_job(_FIRE, next_run_time=at)
        except JobLookupError:  # stopped meanwhile
            return
