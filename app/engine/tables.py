"""The key-value tables as the runs of this process reach them: read past the writer, check-pointed through it."""

from dataclasses import dataclass

from app.clock import Clock
from app.db.engine import Database
from app.db.writer import Writer
from app.domain.ids import Id
from app.domain.kv import KvLimits, KvSnapshot
from app.domain.kv_tables import KvWork, OtherTable
from app.domain.runs import CheckPointed, ClaimedRun
from app.domain.value_classes import value_class
from app.store import kv
from app.store.kv_checkpoints import CheckPoint


@dataclass(frozen=True, slots=True)
class Tables:
    """What the tables of all attempts have in common."""

    database: Database
    writer: Writer
    clock: Clock
    limits: KvLimits


@value_class()
class AttemptTables:
    """The tables of one attempt; to be called from handlers' threads, which wait."""

    tables: Tables
    run: ClaimedRun
    holder: Id

    def load_kv(self) -> KvSnapshot:
        """Read the table of the run's own task."""
        with self.tables.database.read() as connection:
            return kv.snapshot(connection, self.run.task_id, self.tables.clock.now())

    def open_kv(self, task: str) -> OtherTable:
        """Read the table of another task; raises NotFound."""
        with self.tables.database.read() as connection:
            return kv.other_table(connection, task, self.run.task, self.tables.clock.now())

    def commit_kv(self, work: KvWork) -> CheckPointed:
        """Make a check-point; raises LeaseLost, and Unavailable if nobody knows whether it was made."""
        limits = self.tables.limits
        point = CheckPoint(run=self.run, holder=self.holder, work=work, limits=limits)
        return self.tables.writer.call(point)
