"""Firing passes: due tasks become runs, in bounded batches, until nothing is due."""

from datetime import datetime, timedelta

import structlog

from rota.clock import Clock
from rota.db.batching import Request
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.primitives.ids import Id
from rota.domain.runs.plan import DueTask
from rota.domain.runs.planning import MOST_FIRE_TIMES, plan
from rota.engine.checks.lease_expiry import LeaseExpiry
from rota.engine.timing.scheduler import Scheduler
from rota.engine.timing.wakeable_thread import WakeableThread
from rota.errors import Locked, Unavailable
from rota.metrics import Metrics
from rota.store.alerts.sending import SendPending, earliest_pending
from rota.store.runs.claiming import claim
from rota.store.scheduling.due import due_tasks, earliest_due
from rota.store.scheduling.fire import Fire, HeldError, OvertakenError, PauseUnplannable

log = structlog.get_logger(__name__)

BATCH = 500
# Fire times computed in one batch: catching up many tasks after a long outage alternates with what is due now.
_STEPS = 50_000
# When to try again what another transaction had locked.
_AFTER_A_LOCK = timedelta(seconds=0.2)


class Firing(WakeableThread):
    """A thread that makes a pass when it is woken: by its scheduler, or by the watchdog."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        clock: Clock,
        metrics: Metrics,
        expiry: LeaseExpiry | None = None,
    ) -> None:
        super().__init__("firing", self._work_once)
        self.scheduler = Scheduler(clock, self.wake)
        self._database = database
        self._writer = writer
        self._clock = clock
        self._metrics = metrics
        self._expiry = expiry or LeaseExpiry(database, writer, clock)
        self._catching_up = False
        # Whether a delayed run could not be released because another transaction has locked it.
        self._run_held = False
        self._passed_at = clock.monotonic()
        #: Whether it has made a pass: what was due before the start is fired.
        self.has_passed = False

    def start(self) -> None:
        self.scheduler.start()
        super().start()

    def stop(self) -> None:
        """Stop after the batch in progress; what is due stays due."""
        self.scheduler.stop()
        super().stop()

    def age(self) -> float:
        """Return how many seconds ago the last pass ended (monotonic)."""
        return self._clock.monotonic() - self._passed_at

    def make_pass(self) -> datetime | None:
        """Fire everything that is due; return when something is due next.

        A task or run that another transaction has locked is skipped and tried again shortly afterwards, so that it
        does not delay the others.
        """
        held: set[Id] = set()
        while not self._stopped.is_set() and self._fire_batch(held):
            pass
        while not self._stopped.is_set() and self._release_batch():
            pass
        while not self._stopped.is_set() and self._expiry.expire(BATCH):
            pass
        while not self._stopped.is_set() and self._send_batch():
            pass
        with self._database.read() as connection:
            next_due = earliest_due(connection, held)
            pending = earliest_pending(connection)
        if pending is not None:  # not at once, where another replica has locked it
            at = max(pending, self._clock.now() + _AFTER_A_LOCK)
            next_due = at if next_due is None else min(next_due, at)
        expires_in = self._expiry.next_in()
        if expires_in is not None:
            at = self._clock.now() + max(expires_in, _AFTER_A_LOCK)
            next_due = at if next_due is None else min(next_due, at)
        return self._retry_at(next_due) if held or self._run_held else next_due

    def _retry_at(self, next_due: datetime | None) -> datetime:
        """Return when to make the next pass if a row is locked: not in a busy loop until it is released."""
        now = self._clock.now()
        retry_at = now + _AFTER_A_LOCK
        return next_due if next_due is not None and now < next_due < retry_at else retry_at

    def _work_once(self) -> None:
        # If this raises, the watchdog wakes the thread again, and `/readyz` shows the age of the last pass.
        self.scheduler.pass_begins()
        self.scheduler.pass_ended(self.make_pass())
        self._passed_at = self._clock.monotonic()
        self.has_passed = True

    def _fire_batch(self, held: set[Id]) -> bool:
        """Fire up to BATCH tasks except those in `held`, and add locked ones to it; return whether more may be due."""
        now = self._clock.now()
        with self._database.read() as connection:
            # Tasks that are caught up in parts stay the oldest: every second batch takes what became due last.
            due = due_tasks(connection, now, BATCH, newest_first=self._catching_up, without=held)
        most = max(_STEPS // max(len(due), 1), 1)
        held_before = len(held)
        fires = [fire for task in due if (fire := self._plan(task, now, most, held)) is not None]
        in_parts = any((fire.plan.next_fire_at or now) < now for fire in fires)
        self._catching_up = in_parts and not self._catching_up
        requests = self._writer.call_all(fires)
        self._metrics.fired.inc(sum(each.result() for each in requests if each.exception() is None))
        advanced = 0
        for fire, request in zip(fires, requests, strict=True):
            advanced += self._has_fired(fire, request, held)
        # A plan after a long outage comes in parts, so a task that advanced may be due again at once. Behind those that
        # are held others may be due.
        return advanced > 0 or len(held) > held_before

    def _plan(self, task: DueTask, now: datetime, most: int, held: set[Id]) -> Fire | None:
        try:
            return Fire(task, plan(task, now, min(most, MOST_FIRE_TIMES)))
        except Exception as error:  # noqa: BLE001  # any error here concerns this task only
            # One line: an error of many tasks at once must not keep the pass busy with tracebacks.
            log.error("firing.unplannable", task=task.name, error=repr(error)[:500])  # noqa: TRY400
            self._pause(task, held)
            return None

    def _has_fired(self, fire: Fire, request: Request[int], held: set[Id]) -> bool:
        error = request.exception()
        if error is None:
            return True
        if isinstance(error, (HeldError, Locked)):
            held.add(fire.due.id)
        elif isinstance(error, Unavailable):
            raise error
        elif not isinstance(error, OvertakenError):
            log.error("firing.refused", task=fire.due.name, error=str(error))
            self._pause(fire.due, held)
        return False

    def _pause(self, task: DueTask, held: set[Id]) -> None:
        try:
            self._writer.call(PauseUnplannable(task))
        except Locked:
            held.add(task.id)

    def _send_batch(self) -> bool:
        """Try up to BATCH notifications again whose time has come; return whether there may be more."""
        with self._database.read() as connection:
            pending = earliest_pending(connection)
        if pending is None or pending > self._clock.now():
            return False
        try:
            return self._writer.call(SendPending(BATCH)) == BATCH
        except Locked:
            return False

    def _release_batch(self) -> bool:
        """Release up to BATCH delayed runs whose time has come; return whether there may be more."""
        with self._database.read() as connection:
            earliest = claim.earliest_delayed(connection)
        self._run_held = False
        if earliest is None or earliest > self._clock.now():
            return False
        released = self._writer.call(claim.ReleaseDelayed(BATCH))
        self._run_held = released == 0
        return released == BATCH
