"""Firing passes: due tasks become runs, in bounded batches, until nothing is due."""

import threading
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.results import Reply
from rota.db.writer import Writer
from rota.domain.primitives.ids import Id
from rota.domain.runs.plan import DueTask
from rota.domain.runs.planning import MOST_FIRE_TIMES, plan
from rota.errors import Locked, Unavailable
from rota.metrics import Metrics
from rota.store.runs import claim
from rota.store.scheduling import fire as firing
from rota.store.scheduling.fire import Fire, HeldError, OvertakenError, PauseUnplannable

log = structlog.get_logger(__name__)

BATCH = 500
# Fire times stepped through in one batch: a long outage of many tasks is caught up between what is due now.
_STEPS = 50_000
# When to look again at what somebody else had locked.
_AFTER_A_LOCK = timedelta(seconds=0.2)


class Alarm(Protocol):
    """What rings when something is due next."""

    def pass_begins(self) -> None: ...

    def pass_ended(self, next_due: datetime | None) -> None: ...


class Firing:
    """A thread that makes a pass whenever its bell rings."""

    def __init__(self, database: Database, writer: Writer, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._metrics = metrics
        self._alarm: Alarm | None = None
        self._bell = threading.Event()
        self._stopping = False
        self._catching_up = False
        # Whether a run whose time has come could not be released: somebody else has locked it.
        self._run_held = False
        self._passed_at = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name="rota-firing", daemon=True)

    def start(self, alarm: Alarm) -> None:
        self._alarm = alarm
        self._thread.start()

    def stop(self) -> None:
        """End after the batch that is under way; what is due stays due."""
        self._stopping = True
        self._bell.set()
        if self._thread.ident is not None:
            self._thread.join()

    def ring(self) -> None:
        """Ask for a pass; safe from any thread, never waits."""
        self._bell.set()

    def age(self) -> float:
        """Return how many seconds ago the last pass ended (monotonic)."""
        return self._clock.monotonic() - self._passed_at

    def make_pass(self) -> datetime | None:
        """Fire everything that is due; return when something is due next.

        What somebody else has locked is passed over, so that it keeps nobody behind it waiting, and looked at a moment
        later.
        """
        held: set[Id] = set()
        while not self._stopping and self._fire_batch(held):
            pass
        while not self._stopping and self._release_batch():
            pass
        with self._database.read() as connection:
            next_due = firing.earliest_due(connection, held)
        return self._not_in_haste(next_due) if held or self._run_held else next_due

    def _not_in_haste(self, next_due: datetime | None) -> datetime:
        """Return when to look again where a lock is in the way: not over and over until it is gone."""
        now = self._clock.now()
        again = now + _AFTER_A_LOCK
        return next_due if next_due is not None and now < next_due < again else again

    def _run(self) -> None:
        while not self._stopping:
            self._bell.wait()
            self._bell.clear()
            if not self._stopping:
                self._ring_answered()

    def _ring_answered(self) -> None:
        assert self._alarm is not None  # set before the thread starts
        try:
            self._alarm.pass_begins()
            next_due = self.make_pass()
            self._alarm.pass_ended(next_due)
            self._passed_at = self._clock.monotonic()
        except (
            Unavailable
        ) as error:  # the watchdog rings again, and `/readyz` shows the age of the last pass
            log.warning("firing.unavailable", error=error.detail)
        except Exception:
            log.exception("firing.failed")

    def _fire_batch(self, held: set[Id]) -> bool:
        """Fire up to BATCH tasks but those that are held, to which it adds; return whether more may be due."""
        now = self._clock.now()
        with self._database.read() as connection:
            # What is caught up in parts stays the oldest: in between, what is due just now has its turn.
            due = firing.due_tasks(
                connection, now, BATCH, newest_first=self._catching_up, without=held
            )
        most = max(_STEPS // max(len(due), 1), 1)
        held_before = len(held)
        fires = [fire for task in due if (fire := self._plan(task, now, most, held)) is not None]
        in_parts = any((fire.plan.next_fire_at or now) < now for fire in fires)
        self._catching_up = in_parts and not self._catching_up
        answers = self._writer.call_all(fires)
        self._metrics.fired.inc(sum(each.result() for each in answers if each.exception() is None))
        advanced = 0
        for fire, answer in zip(fires, answers, strict=True):
            advanced += self._fired(fire, answer, held)
        # A plan of a long outage comes in parts, so a task that has advanced may be due again at once. Behind those
        # that are held others may be due.
        return advanced > 0 or len(held) > held_before

    def _plan(self, task: DueTask, now: datetime, most: int, held: set[Id]) -> Fire | None:
        try:
            return Fire(task, plan(task, now, min(most, MOST_FIRE_TIMES)))
        except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this task only
            # One line: a fault of many tasks at once must not keep the pass busy with tracebacks.
            log.error("firing.unplannable", task=task.name, error=repr(error)[:500])  # noqa: TRY400
            self._pause(task, held)
            return None

    def _fired(self, fire: Fire, answer: Reply[int], held: set[Id]) -> bool:
        error = answer.exception()
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

    def _release_batch(self) -> bool:
        """Release up to BATCH runs whose time has come; return whether there may be more."""
        with self._database.read() as connection:
            earliest = claim.earliest_delayed(connection)
        self._run_held = False
        if earliest is None or earliest > self._clock.now():
            return False
        released = self._writer.call(claim.ReleaseDelayed(BATCH))
        self._run_held = released == 0
        return released == BATCH
