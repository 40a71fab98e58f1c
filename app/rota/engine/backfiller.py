"""Backfills go on: whenever a run of one has ended, the next fire time is made a run."""

import threading
from collections.abc import Iterator, Sequence
from itertools import islice

import structlog

from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.backfills import times_from
from rota.domain.effects import BackfillStarted, Effect, RunEnded
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import Trigger
from rota.errors import Locked, Unavailable
from rota.store.scheduling.backfill import AdvanceBackfill, EndBackfill
from rota.store.scheduling.backfill_rows import Advancing, unfinished

log = structlog.get_logger(__name__)

#: Runs made in one write.
BATCH = 100
_PAGE = 200


class Backfilling:
    """A thread that looks at the unfinished backfills whenever its bell rings.

    A run of a backfill may end in another process, so the watchdog rings as well.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._bell = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="rota-backfilling", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the write that is under way; the rows say where to go on."""
        self._stopping = True
        self._bell.set()
        if self._thread.ident is not None:
            self._thread.join()

    def ring(self) -> None:
        """Ask for a look; safe from any thread, never waits."""
        self._bell.set()

    def note(self, effects: Sequence[Effect]) -> None:
        """Look again if a commit has begun a backfill or ended a run of one."""
        if any(_concerns(effect) for effect in effects):
            self.ring()

    def make_pass(self) -> None:
        """Make all the runs that there is room for just now."""
        while not self._stopping and self._look():
            pass

    def _run(self) -> None:
        while not self._stopping:
            self._bell.wait()
            self._bell.clear()
            try:
                self.make_pass()
            except Unavailable as error:  # the watchdog rings again
                log.warning("backfilling.unavailable", error=error.detail)
            except Exception:
                log.exception("backfilling.failed")

    def _look(self) -> bool:
        """Look at every unfinished backfill once; return whether one that has made runs has room for more."""
        more = False
        for advancing in self._unfinished():
            if self._stopping:
                return False
            if advancing.room > 0:
                more |= self._advanced(advancing)
        return more

    def _advanced(self, advancing: Advancing) -> bool:
        """The same as `_advance`; a fault concerns this backfill only."""
        try:
            return self._advance(advancing)
        except Locked:  # the watchdog rings again
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
        """Make up to BATCH runs; return whether there is room for more."""
        number = min(advancing.room, BATCH)
        command = self._command(advancing, number)
        made = 0 if command is None else self._writer.call(command)
        return made == BATCH and advancing.room > BATCH

    def _command(self, advancing: Advancing, number: int) -> AdvanceBackfill | None:
        """Return what makes the next runs; the fire times are computed here, not in the writer."""
        of = advancing.backfill
        assert of.next_at is not None  # there is one until it has finished
        try:
            times = times_from(of.span, of.next_at, newest_first=of.newest_first, expected=of.runs)
            found = tuple(islice(times, number + 1))
        except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this backfill only
            log.error("backfilling.unplannable", task=of.task, error=repr(error)[:500])  # noqa: TRY400
            self._writer.call(EndBackfill(of.id))
            return None
        following = found[number] if len(found) > number else None
        return AdvanceBackfill(read=of, times=found[:number], next_at=following)


def _concerns(effect: Effect) -> bool:
    if isinstance(effect, RunEnded):
        return effect.trigger == Trigger.BACKFILL
    return isinstance(effect, BackfillStarted)
