"""The key-value tables as the runs of this process reach them: read past the writer, check-pointed through it."""

from dataclasses import dataclass

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.writer import Writer
from rota.domain.kv.entries import KvLimits, KvSnapshot
from rota.domain.kv.run_writes import KvWork, OtherTable
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import CheckpointResult
from rota.store.completion.checkpoint import Checkpoint
from rota.store.kv import entries as kv


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

    def commit_kv(self, work: KvWork) -> CheckpointResult:
        """Make a check-point; raises LeaseLost, and Unavailable if nobody knows whether it was made."""
        limits = self.tables.limits
        point = Checkpoint(run=self.run, holder=self.holder, work=work, limits=limits)
        return self.tables.writer.call(point)
