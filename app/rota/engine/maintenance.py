"""Maintenance: lost runs are given back, and what nobody needs any more is removed, in small batches."""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Command, Writer
from rota.domain.effects import Effect, RunEnded
from rota.domain.primitives.ids import Id
from rota.engine.key_rotation import Resealing
from rota.engine.timing.clock_steps import ClockSteps
from rota.errors import Unavailable
from rota.store import idempotency
from rota.store.completion.finish import Reap
from rota.store.events import EventRetention, RemoveEvents
from rota.store.handlers import SettleHandlers, missing_handlers
from rota.store.kv.history_trim import ForgetRemoved, long_removed
from rota.store.kv.history_trim import Position as KvPosition
from rota.store.kv.transactions import RemoveExpired
from rota.store.replicas import known_handlers
from rota.store.runs import concurrency_keys
from rota.store.tasks import retention
from rota.store.tasks.lifecycle import Purge

log = structlog.get_logger(__name__)

BATCH = 200
# Rows looked at in one sweep by age; the next sweep goes on from there.
_SWEPT = 2_000
_EVENTS = EventRetention()
# Tasks deleted in one write; each takes several statements.
_TASKS = 50


class Maintenance:
    """Jobs to be done regularly. Each is bounded, so that it never keeps the writer long."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        clock: Clock,
        delete_after: timedelta = timedelta(days=7),
        events: EventRetention = _EVENTS,
        steps: ClockSteps | None = None,
    ) -> None:
        self._steps = steps or ClockSteps(clock)
        self._database = database
        self._writer = writer
        self._clock = clock
        self._lock = threading.Lock()
        self._ended_tasks: set[Id] = set()
        self._swept_to: retention.Position | None = None
        self._delete_after = delete_after
        self._forgotten_to: KvPosition | None = None
        self._events = events
        self._ended_to: retention.Position | None = None
        self._known_handlers: frozenset[str] | None = None
        self._resealing = Resealing(database, writer.call, clock.monotonic)

    def note(self, effects: Sequence[Effect]) -> None:
        """Remember which tasks have a new finished run; only those can have too many."""
        ended = {effect.task_id for effect in effects if isinstance(effect, RunEnded)}
        if ended:
            self._remember(ended)

    def reap(self, by: Id | None = None, *, judging: bool = True) -> None:
        """Give back the runs of replicas that have lost their lease, and let runs go on that wait for nothing more.

        `by`: the replica that asks. Without `judging` it does not say of any other that its lease is over.
        """
        self._guarded(partial(self._reap, Reap(by=by, judging=judging)))
        self._guarded(self._promote_stalled)

    def clean(self) -> None:
        """Remove old runs, expired kv entries, used idempotency keys, ended tasks, events, rows of deleted tasks.

        While the clock is in doubt nothing is removed for its age.
        """
        by_age = (
            self._remove_old,
            self._remove_expired,
            self._forget_removed,
            self._remove_ended,
            self._remove_events,
        )
        aged = () if self._steps.in_doubt else by_age
        for job in (self._remove_surplus, *aged, self.purge, self._reseal):
            self._guarded(job)

    def purge(self) -> None:
        """Remove the rows of deleted tasks."""
        while self._writer.call(Purge(BATCH)):
            pass

    def _reap(self, reap: Reap) -> None:
        while self._repeat(reap):
            pass
        with self._database.read() as connection:
            known = known_handlers(connection)
        # Runs are blocked when they are made, if need be; all of them are looked at only when something has changed.
        if known != self._known_handlers:
            self._writer.call(SettleHandlers())
            self._known_handlers = known
            self._tell_missing()

    def _promote_stalled(self) -> None:
        """The end of a run lets those go on that wait for its concurrency key; this is for ends that went unseen."""
        with self._database.read() as connection:
            keys = concurrency_keys.waiting_keys(connection)
        for start in range(0, len(keys), BATCH):
            self._writer.call(
                concurrency_keys.Promote(tuple(keys[start : start + BATCH]), stalled_only=True)
            )

    def _tell_missing(self) -> None:
        with self._database.read() as connection:
            missing = missing_handlers(connection)
        if missing:
            log.warning(
                "handlers.missing", handlers=missing, effect="runs of their tasks are blocked"
            )

    def _repeat(self, command: Command[int]) -> int:
        given_back = self._writer.call(command)
        if given_back:
            log.warning("runs.given_back", runs=given_back)
        return given_back

    def _remove_surplus(self) -> None:
        with self._lock:
            ended, self._ended_tasks = self._ended_tasks, set()
        tasks = tuple(ended)
        try:
            for start in range(0, len(tasks), BATCH):
                self._remove_surplus_of(tasks[start : start + BATCH])
        except Exception:
            self._remember(ended)  # all of them: those that are done cost a look
            raise

    def _remember(self, tasks: set[Id]) -> None:
        with self._lock:
            self._ended_tasks |= tasks

    def _remove_surplus_of(self, tasks: Sequence[Id]) -> None:
        while True:
            with self._database.read() as connection:
                ids = retention.beyond_count(connection, tasks, BATCH)
            if not ids or not self._writer.call(retention.RemoveRuns(tuple(ids))):
                return

    def _remove_old(self) -> None:
        with self._database.read() as connection:
            now = self._clock.now()
            ids, self._swept_to = retention.beyond_age(connection, now, self._swept_to, _SWEPT)
        for start in range(0, len(ids), BATCH):
            self._writer.call(retention.RemoveRuns(tuple(ids[start : start + BATCH])))

    def _remove_expired(self) -> None:
        while self._writer.call(RemoveExpired(BATCH)) == BATCH:
            pass
        while self._writer.call(idempotency.RemoveOld(BATCH)) == BATCH:
            pass

    def _remove_events(self) -> None:
        while self._writer.call(RemoveEvents(self._events, BATCH)) >= BATCH:
            pass

    def _reseal(self) -> None:
        sealed = self._resealing.sweep()
        if sealed:
            log.info("encryption.resealed", values=sealed)

    def _forget_removed(self) -> None:
        with self._database.read() as connection:
            now = self._clock.now()
            gone, self._forgotten_to = long_removed(connection, now, self._forgotten_to, _SWEPT)
        for start in range(0, len(gone), BATCH):
            self._writer.call(ForgetRemoved(tuple(gone[start : start + BATCH])))

    def _remove_ended(self) -> None:
        """Delete tasks that ended long enough ago; goes on as long as it finds some."""
        found = True
        while found:
            with self._database.read() as connection:
                over, self._ended_to = retention.ended_tasks(
                    connection, self._clock.now(), self._delete_after, self._ended_to, _SWEPT
                )
            for start in range(0, len(over), _TASKS):
                self._writer.call(retention.RemoveEnded(tuple(over[start : start + _TASKS])))
            found = bool(over) and self._ended_to is not None

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Unavailable as error:
            log.warning("maintenance.unavailable", job=_name(job), error=error.detail)
        except Exception:
            log.exception("maintenance.failed", job=_name(job))


def _name(job: Callable[[], None]) -> str:
    return str((job.func if isinstance(job, partial) else job).__name__)
