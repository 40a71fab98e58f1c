"""Maintenance: lost runs are released, and rows past their retention are removed, in small batches."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from rota.clock import Clock
from rota.db.command import Command
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.effects import Effect, RunEnded
from rota.domain.primitives.ids import Id
from rota.engine.key_rotation import KeyRotation
from rota.engine.timing.clock_steps import ClockSteps
from rota.errors import Locked, Unavailable
from rota.store import idempotency
from rota.store.alerts.changes import ForgetStale
from rota.store.alerts.sending import RemoveSent
from rota.store.audit.retention import RemoveEntries
from rota.store.bulk.changes import RemoveOldBulks
from rota.store.completion.finish import Reap, orphans
from rota.store.events.stored import EventRetention, RemoveEvents
from rota.store.handlers import ReconcileHandlers, missing_handlers
from rota.store.holds.retention import RemoveHolds, removable_holds
from rota.store.kv.history.trim import ForgetRemoved, long_removed
from rota.store.kv.history.trim import Position as KvPosition
from rota.store.kv.transactions import RemoveExpired
from rota.store.replicas import known_handlers
from rota.store.runs import concurrency_keys
from rota.store.sealing.secret_rotation import ForgetPrevious
from rota.store.tasks import retention
from rota.store.tasks.lifecycle import Purge

log = structlog.get_logger(__name__)

T = TypeVar("T")

BATCH = 200
# Rows read in one sweep by age; the next sweep continues from there.
_SWEPT = 2_000
_EVENTS = EventRetention()
# How long a notification is listed after it was sent.
_SENT_ARE_KEPT = timedelta(days=30)
# How long a hold is kept after its end: its fire times are planned by then, except after an outage that is as long.
_HOLDS_ARE_KEPT = timedelta(days=30)
# Tasks deleted in one write; each takes several statements.
_TASKS = 50


class Maintenance:
    """Periodic jobs. Each works in batches, so that it never occupies the writer for long."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        clock: Clock,
        delete_after: timedelta = timedelta(days=7),
        events: EventRetention = _EVENTS,
        steps: ClockSteps | None = None,
        audit_age: timedelta = timedelta(days=90),
    ) -> None:
        self._audit_age = audit_age
        self._steps = steps or ClockSteps(clock)
        self._database = database
        self._writer = writer
        self._clock = clock
        self._lock = threading.Lock()
        self._ended_tasks: set[Id] = set()
        self._swept_to: retention.Position | None = None
        self._delete_after = delete_after
        self._trimmed_to: KvPosition | None = None
        self._events = events
        self._ended_to: retention.Position | None = None
        self._has_forgotten_alerts = False
        self._known_handlers: frozenset[str] | None = None
        self._key_rotation = KeyRotation(database, writer.call, clock.monotonic)

    def committed(self, effects: Sequence[Effect]) -> None:
        """Record which tasks have a newly finished run; only those can exceed their retention by count."""
        ended = {effect.task_id for effect in effects if isinstance(effect, RunEnded)}
        if ended:
            self._remember(ended)

    def reap(self, by: Id | None = None, *, judging: bool = True) -> None:
        """Release the runs of replicas whose lease has expired, and unblock runs that wait for nothing any more.

        `by`: the id of this replica. Without `judging` no lease of another replica is treated as expired.
        """
        self._guarded(partial(self._reap, Reap(by=by, judging=judging)))
        self._guarded(self._promote_stalled)

    def clean(self) -> None:
        """Remove old runs, expired kv entries, used idempotency keys, ended tasks, events, sent notifications.

        And old entries of the audit log, holds that ended long ago, and the rows of deleted tasks. While the wall
        clock is in doubt nothing is removed by age.
        """
        by_age = (
            self._remove_old,
            self._remove_expired,
            self._trim_kv_history,
            self._remove_ended,
            self._remove_events,
            self._remove_audit_entries,
            self._remove_sent,
            self._remove_holds,
            self._remove_bulks,
        )
        for job in (
            self._remove_surplus,
            *(() if self._steps.in_doubt else by_age),
            self.purge,
            self._forget_alerts,
            self._forget_secrets,
            self._rotate_keys,
        ):
            self._guarded(job)

    def purge(self) -> None:
        """Remove the rows of deleted tasks."""
        while self._writer.call(Purge(BATCH)):
            pass

    def _reap(self, reap: Reap) -> None:
        while released := self._release(reap):
            log.warning("runs.released", runs=released)
        with self._database.read() as connection:
            known = known_handlers(connection)
        # Runs of missing handlers are inserted as blocked; existing runs are checked only when handlers have changed.
        if known != self._known_handlers:
            self._writer.call(ReconcileHandlers())
            self._known_handlers = known
            self._warn_of_missing_handlers()

    def _release(self, reap: Reap) -> int:
        try:
            return self._writer.call(reap)
        except (
            Locked
        ):  # a run that is started by the end of another one: the others do not wait for it
            return self._release_singly(reap)

    def _release_singly(self, reap: Reap) -> int:
        with self._database.read() as connection:
            ids = orphans(connection)
        requests = self._writer.call_all([replace(reap, only=id) for id in ids])
        released = [request for request in requests if not isinstance(request.exception(), Locked)]
        return sum(request.result() for request in released)

    def _promote_stalled(self) -> None:
        """Unblock runs that wait for a concurrency key: for ends of runs that did not (see `store.follow_ups`)."""
        with self._database.read() as connection:
            keys = concurrency_keys.waiting_keys(connection)
        self._write(partial(concurrency_keys.Promote, stalled_only=True), keys)

    def _warn_of_missing_handlers(self) -> None:
        with self._database.read() as connection:
            missing = missing_handlers(connection)
        if missing:
            log.warning(
                "handlers.missing", handlers=missing, effect="runs of their tasks are blocked"
            )

    def _remove_surplus(self) -> None:
        with self._lock:
            ended, self._ended_tasks = self._ended_tasks, set()
        tasks = tuple(ended)
        try:
            for start in range(0, len(tasks), BATCH):
                self._remove_surplus_of(tasks[start : start + BATCH])
        except Exception:
            self._remember(ended)  # all of them: those without surplus cost one read
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
        self._write(retention.RemoveRuns, ids)

    def _remove_expired(self) -> None:
        while self._writer.call(RemoveExpired(BATCH)) == BATCH:
            pass
        while self._writer.call(idempotency.RemoveOld(BATCH)) == BATCH:
            pass

    def _remove_events(self) -> None:
        while self._writer.call(RemoveEvents(self._events, BATCH)) >= BATCH:
            pass

    def _remove_audit_entries(self) -> None:
        while self._writer.call(RemoveEntries(self._audit_age, BATCH)) == BATCH:
            pass

    def _forget_alerts(self) -> None:
        """Forget alerts that are without a rule, since the service was started with other defaults: once."""
        if self._has_forgotten_alerts:
            return
        after = self._writer.call(ForgetStale(None, BATCH))
        while after is not None:
            after = self._writer.call(ForgetStale(after, BATCH))
        self._has_forgotten_alerts = True

    def _remove_sent(self) -> None:
        while self._writer.call(RemoveSent(_SENT_ARE_KEPT, BATCH)) >= BATCH:
            pass

    def _remove_holds(self) -> None:
        with self._database.read() as connection:
            ids = removable_holds(connection, self._clock.now(), _HOLDS_ARE_KEPT, BATCH)
        self._write(RemoveHolds, ids)

    def _remove_bulks(self) -> None:
        while self._writer.call(RemoveOldBulks(BATCH)):
            pass

    def _rotate_keys(self) -> None:
        resealed = self._key_rotation.sweep()
        if resealed:
            log.info("encryption.resealed", values=resealed)

    def _forget_secrets(self) -> None:
        """Remove the previous values of rotated secrets."""
        while self._writer.call(ForgetPrevious(BATCH)) == BATCH:
            pass

    def _trim_kv_history(self) -> None:
        with self._database.read() as connection:
            now = self._clock.now()
            keys, self._trimmed_to = long_removed(connection, now, self._trimmed_to, _SWEPT)
        self._write(ForgetRemoved, keys)

    def _remove_ended(self) -> None:
        """Delete tasks whose `delete_after` has passed, until there are none."""
        found = True
        while found:
            with self._database.read() as connection:
                tasks, self._ended_to = retention.ended_tasks(
                    connection, self._clock.now(), self._delete_after, self._ended_to, _SWEPT
                )
            self._write(retention.RemoveEnded, tasks, _TASKS)
            found = bool(tasks) and self._ended_to is not None

    def _write(
        self,
        command: Callable[[tuple[T, ...]], Command[Any]],
        rows: Sequence[T],
        size: int | None = None,
    ) -> None:
        """Commit a command for each batch of rows."""
        size = size or BATCH
        for start in range(0, len(rows), size):
            self._writer.call(command(tuple(rows[start : start + size])))

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Unavailable as error:
            log.warning("maintenance.unavailable", job=_name(job), error=error.detail)
        except Exception:
            log.exception("maintenance.failed", job=_name(job))


def _name(job: Callable[[], None]) -> str:
    return str((job.func if isinstance(job, partial) else job).__name__)
