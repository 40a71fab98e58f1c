"""Bulk operations on runs continue: a few runs per write, so that what fires and is claimed has its turn in between."""

from collections.abc import Mapping, Sequence

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.alerts.notifier_inputs import notifier_faults
from rota.domain.alerts.notifiers import NOTIFIERS
from rota.domain.bulk.model import Bulk, BulkVerb, Refusal
from rota.domain.effects import BulkChanged, Effect, RunEnded
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.status import Trigger
from rota.domain.tasks.input_schema import input_faults, usable_schema
from rota.engine.timing.wakeable_thread import WakeableThread
from rota.errors import Fault, Locked, Unavailable
from rota.store.bulk.advance import AdvanceBulk, unfinished_runs
from rota.store.bulk.rows import running
from rota.store.handlers import HandlerInfo, list_handlers

log = structlog.get_logger(__name__)

#: Runs dealt with in one write, at first, at least and at most: what a write costs besides is that of a few runs.
FIRST_BATCH = 50
LEAST_IN_BATCH = 20
MOST_IN_BATCH = 200
#: A write that takes longer than this, in seconds, is followed by smaller ones.
LONGEST_WRITE = 0.015
#: How long the writer is left to others after a write, as a multiple of the time that it took; at most in seconds.
REST = 1.0
LONGEST_REST = 0.1
_FAILED = Refusal("internal", "It could not be dealt with; the log of the service has the reason.")


class BulkRunner(WakeableThread):
    """A thread that executes bulk operations when it is woken, in turn: each writes once, then the next one.

    The watchdog wakes it too, since they may have been begun by another process. A stop ends it after the write in
    progress; the rows hold the position.
    """

    def __init__(self, database: Database, writer: Writer, clock: Clock) -> None:
        super().__init__("bulk", self.make_pass)
        self._database = database
        self._writer = writer
        self._clock = clock
        self._size = FIRST_BATCH
        #: Operations of which a write has failed: their next runs are dealt with one by one.
        self._singly: dict[Id, int] = {}
        #: Which handlers do not accept the input of an operation, and the handlers that were asked.
        self._unfit: dict[Id, tuple[Sequence[HandlerInfo], Mapping[str, str]]] = {}
        #: Before this position all runs that an operation has made are known to have ended.
        self._ended_to: dict[Id, int] = {}

    def committed(self, effects: Sequence[Effect]) -> None:
        """Wake up if a commit has begun an operation, or ended a run that one may have made."""
        if any(_concerns(effect) for effect in effects):
            self.wake()

    def make_pass(self) -> None:
        """Execute all that can be now."""
        while not self._stopped.is_set() and self._advance_all():
            pass

    def _advance_all(self) -> bool:
        """Continue every operation once; return whether one of them can continue at once."""
        with self._database.read() as connection:
            found = running(connection)
        self._forget({each.id for each in found})
        more = False
        for each in found:
            if self._stopped.is_set():
                return False
            more |= self._try_to_advance(each)
        return more

    def _forget(self, present: set[Id]) -> None:
        for kept in (self._singly, self._ended_to, self._unfit):
            for id in kept.keys() - present:
                kept.pop(id)

    def _try_to_advance(self, bulk: Bulk) -> bool:
        """Call `_advance`; an error of one operation does not stop the others. Raises Unavailable."""
        try:
            return self._advance(bulk)
        except Locked:  # the watchdog wakes the thread again
            log.info("bulk.locked", bulk=bulk.id)
            return False
        except Unavailable:
            raise
        except Exception:
            log.exception("bulk.failed", bulk=bulk.id, position=bulk.position)
            return self._isolate(bulk)

    def _isolate(self, bulk: Bulk) -> bool:
        """Deal with the runs of a write that has failed one by one; the one that fails is left out."""
        if bulk.id not in self._singly:
            self._singly[bulk.id] = bulk.position + MOST_IN_BATCH
            return True
        return self._writer.call(AdvanceBulk(read=bulk, limit=1, failed=_FAILED)).runs > 0

    def _advance(self, bulk: Bulk) -> bool:
        """Write once; return whether the operation can continue at once."""
        limit = min(self._limit(bulk), self._room(bulk))
        if limit < 1:
            return False
        command = AdvanceBulk(read=bulk, limit=limit, unfit=self._unfit_for(bulk))
        began = self._clock.monotonic()
        advanced = self._writer.call(command)
        took = self._clock.monotonic() - began
        self._adapt(limit, took)
        # A fire takes several writes: each would wait for one of these.
        self._stopped.wait(min(REST * took, LONGEST_REST))
        return not advanced.stalled and bulk.position + advanced.runs < bulk.runs

    def _limit(self, bulk: Bulk) -> int:
        return 1 if bulk.position < self._singly.get(bulk.id, 0) else self._size

    def _room(self, bulk: Bulk) -> int:
        """Return how many further runs an operation may make now."""
        if bulk.request.max_concurrent is None or bulk.request.verb is not BulkVerb.RERUN:
            return MOST_IN_BATCH
        with self._database.read() as connection:
            unfinished = unfinished_runs(connection, bulk.id, self._ended_to.get(bulk.id, 0))
        self._ended_to[bulk.id] = bulk.position if unfinished.first is None else unfinished.first
        return bulk.request.max_concurrent - unfinished.runs

    def _adapt(self, limit: int, seconds: float) -> None:
        """Have the next write take about as long as one may; `seconds` includes the wait for its turn."""
        if limit < self._size:
            return
        if seconds > LONGEST_WRITE:
            self._size = max(self._size // 2, LEAST_IN_BATCH)
        elif seconds < LONGEST_WRITE / 2:
            self._size = min(self._size * 2, MOST_IN_BATCH)

    def _unfit_for(self, bulk: Bulk) -> Mapping[str, str]:
        """Return the handlers that do not accept the input of an operation, and why not; looked at once."""
        if bulk.request.input is None:
            return {}
        with self._database.read() as connection:
            handlers = list_handlers(connection)
        asked, unfit = self._unfit.get(bulk.id, ((), {}))
        if handlers != asked:
            unfit = _unfit_among(handlers, json_text.loads(bulk.request.input))
            self._unfit[bulk.id] = handlers, unfit
        return unfit


def _unfit_among(handlers: Sequence[HandlerInfo], value: object) -> Mapping[str, str]:
    found = ((each.name, _faults(each, value)) for each in handlers)
    return {name: faults[0].sentence for name, faults in found if faults}


def _faults(handler: HandlerInfo, value: object) -> Sequence[Fault]:
    if handler.name in NOTIFIERS:
        return notifier_faults(handler.name, value)
    if handler.input_schema is None:
        return ()
    schema = usable_schema(handler.input_schema)
    return (schema,) if isinstance(schema, Fault) else input_faults(schema, value)


def _concerns(effect: Effect) -> bool:
    if isinstance(effect, RunEnded):
        return effect.trigger == Trigger.RERUN
    return isinstance(effect, BulkChanged)
