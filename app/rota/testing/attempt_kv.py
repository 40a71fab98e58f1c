"""The key-value tables as attempts in a driver reach them."""

from dataclasses import dataclass

from rota.clock import Clock
from rota.domain.kv.entries import KvSnapshot
from rota.domain.kv.run_writes import KvWork, OtherTable
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import CheckpointResult
from rota.store.completion.checkpoint import Checkpoint
from rota.store.kv import entries as kv
from rota.testing.database import MemoryDatabase


@dataclass(frozen=True, slots=True)
class AttemptTables:
    """The tables of one attempt: read and written where it stands, as everything in a driver."""

    database: MemoryDatabase
    clock: Clock
    run: ClaimedRun
    holder: Id

    def load_kv(self) -> KvSnapshot:
        """Read the table of the run's own task."""
        with self.database.read() as connection:
            return kv.snapshot(connection, self.run.task_id, self.clock.now())

    def open_kv(self, task: str) -> OtherTable:
        """Read the table of another task; raises NotFound."""
        with self.database.read() as connection:
            return kv.other_table(connection, task, self.run.task, self.clock.now())

    def commit_kv(self, work: KvWork) -> CheckpointResult:
        """Make a check-point; raises LeaseLost."""
        return self.database.do(Checkpoint(run=self.run, holder=self.holder, work=work))
