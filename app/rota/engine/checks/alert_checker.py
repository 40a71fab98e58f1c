"""Alerts that follow from time: tasks are checked when they are due for it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.primitives.ids import Id
from rota.engine.timing.wakeable_thread import WakeableThread
from rota.errors import Locked, Unavailable
from rota.store.alerts.checks import CheckAlerts, PostponeCheck, due_checks, next_check
from rota.store.alerts.watch import LONGEST_PAUSE, NoteLook, Watch, watched_by_default
from rota.store.explain.facts import explain_waiting

log = structlog.get_logger(__name__)

#: Tasks that are checked in one write.
BATCH = 100
_PAGE = 500
# How often that somebody watches is written down, for the next start.
_NOTED_EVERY = timedelta(seconds=30)
# A span that is worth a line in the log.
_LONG = timedelta(seconds=60)


class AlertChecker(WakeableThread):
    """A thread that looks, every `interval` seconds, whether tasks are due for a look: one read, if none is.

    It begins once `ready` returns true: when what was due at the start has been fired. Until then nobody watches, and
    that time counts for no alert (`domain.alerts.unwatched`). The same goes for a standstill of the process, a time
    without the database, and a clock that is set forward: each shows as a pause between two looks.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        clock: Clock,
        interval: float = 1.0,
        *,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__("alerts", self.look, interval)
        self._database = database
        self._writer = writer
        self._clock = clock
        self._ready = ready
        self._looked_at: datetime | None = None
        self._noted_at: datetime | None = None
        self._has_begun = False

    def look(self) -> None:
        """Look at all tasks that are due for it. Raises Unavailable."""
        if not self._ready():
            return
        if not self._has_begun:
            self._begin()
        with self._database.read() as connection:
            due_at = next_check(connection)
        now = self._clock.now()
        if due_at is not None:  # else nobody is watched, and nothing needs to be known of the time
            self._note(now)
        self._looked_at = now
        if due_at is not None and due_at <= now:
            self._check()

    def _begin(self) -> None:
        """Watch the tasks that only a default of the service asks for: it may be new, or another one.

        If another replica has locked one of them, the next look begins again.
        """
        after: Id | None = None
        complete = True
        while not self._stopped.is_set():
            with self._database.read() as connection:
                wanted, after = watched_by_default(connection, after, _PAGE)
            if wanted and not self._writer.call(Watch(tuple(wanted))):
                complete = False
            if after is None:
                break
        self._has_begun = complete

    def _note(self, now: datetime) -> None:
        if self._noted_at is not None and self._looked_at is not None:
            goes_on = timedelta() <= now - self._looked_at <= LONGEST_PAUSE
            if goes_on and now - self._noted_at < _NOTED_EVERY:
                return
        unwatched = self._writer.call(NoteLook(self._looked_at))
        self._noted_at = now
        if unwatched > _LONG:
            log.info("alerts.unwatched", seconds=round(unwatched.total_seconds()))

    def _check(self) -> None:
        try:
            look = CheckAlerts(BATCH, why=explain_waiting)
            while not self._stopped.is_set() and self._writer.call(look) == BATCH:
                pass
        except Locked:  # the next look tries again
            log.info("alerts.locked")
        except Unavailable:
            raise
        except Exception:
            log.exception("alerts.failed")
            self._check_singly()

    def _check_singly(self) -> None:
        """Look at tasks one by one, so that one that cannot be checked does not stop the others."""
        with self._database.read() as connection:
            ids = due_checks(connection, self._clock.now(), BATCH)
        requests = self._writer.call_all(
            [CheckAlerts(1, only=id, why=explain_waiting) for id in ids]
        )
        for id, request in zip(ids, requests, strict=True):
            error = request.exception()
            if isinstance(error, Unavailable):
                raise error
            if error is not None and not isinstance(error, Locked):
                log.error("alerts.refused", task_id=id, error=repr(error)[:500])
                self._writer.call(PostponeCheck(id))
