"""Backfills advance: whenever a run of a backfill has ended, its next fire time becomes a run."""

from collections.abc import Iterator, Sequence
from itertools import islice

import structlog

from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.backfills import times_from
from rota.domain.effects import BackfillStarted, Effect, RunEnded
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import Trigger
from rota.engine.timing.wakeable_thread import WakeableThread
from rota.errors import Locked, Unavailable
from rota.store.scheduling.backfill import AdvanceBackfill, EndBackfill
from rota.store.scheduling.backfill_rows import Advancing, unfinished

log = structlog.get_logger(__name__)

#: Runs inserted in one write.
BATCH = 100
_PAGE = 200


class Backfiller(WakeableThread):
    """A thread that advances the unfinished backfills when it is woken.

    A run of a backfill may end in another process, so the watchdog wakes it too. A stop ends it after the write in
    progress; the rows hold the position.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        super().__init__("backfilling", self.make_pass)
        self._database = database
        self._writer = writer

    def committed(self, effects: Sequence[Effect]) -> None:
        """Wake up if a commit has begun a backfill or ended a run of one."""
        if any(_concerns(effect) for effect in effects):
            self.wake()

    def make_pass(self) -> None:
        """Insert all the runs that there is room for now."""
        while not self._stopped.is_set() and self._advance_all():
            pass

    def _advance_all(self) -> bool:
        """Advance every unfinished backfill once; return whether one that has inserted runs has room for more."""
        more = False
        for advancing in self._unfinished():
            if self._stopped.is_set():
                return False
            if advancing.room > 0:
                more |= self._try_to_advance(advancing)
        return more

    def _try_to_advance(self, advancing: Advancing) -> bool:
        """Call `_advance`; an error of one backfill does not stop the others. Raises Unavailable."""
        try:
            return self._advance(advancing)
        except Locked:  # the watchdog wakes the thread again
            log.info("backfilling.locked", task=advancing.backfill.task)
            return False
        except Unavailable:
            raise
        except Exception:
            log.exception("backfilling.failed", task=advancing.backfill.task)
            return False

    def _unfinished(self) -> Iterator[Advancing]:
        after: Id | None = None
        while True:
            with self._database.read() as connection:
                page = unfinished(connection, after, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].backfill.id

    def _advance(self, advancing: Advancing) -> bool:
        """Insert up to BATCH runs; return whether there is room for more."""
        number = min(advancing.room, BATCH)
        command = self._command(advancing, number)
        inserted = 0 if command is None else self._writer.call(command)
        return inserted == BATCH and advancing.room > BATCH

    def _command(self, advancing: Advancing, number: int) -> AdvanceBackfill | None:
        """Return the command that inserts the next runs; the fire times are computed here, not in the writer."""
        backfill = advancing.backfill
        assert backfill.next_at is not None  # it has one until it has finished
        try:
            times = times_from(
                backfill.span,
                backfill.next_at,
                newest_first=backfill.newest_first,
                expected=backfill.runs,
            )
            found = tuple(islice(times, number + 1))
        except Exception as error:  # noqa: BLE001  # any error here concerns this backfill only
            log.error("backfilling.unplannable", task=backfill.task, error=repr(error)[:500])  # noqa: TRY400
            self._writer.call(EndBackfill(backfill.id))
            return None
        following = found[number] if len(found) > number else None
        return AdvanceBackfill(read=backfill, times=found[:number], next_at=following)


def _concerns(effect: Effect) -> bool:
    if isinstance(effect, RunEnded):
        return effect.trigger == Trigger.BACKFILL
    return isinstance(effect, BackfillStarted)
