"""The key-value tables as attempts in a driver reach them."""

from dataclasses import dataclass

from app.clock import Clock
from app.db.memory import MemoryDatabase
from app.domain.ids import Id
from app.domain.kv import KvSnapshot
from app.domain.kv_tables import KvWork, OtherTable
from app.domain.runs import CheckPointed, ClaimedRun
from app.store import kv
from app.store.kv_checkpoints import CheckPoint


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

    def commit_kv(self, work: KvWork) -> CheckPointed:
        """Make a check-point; raises LeaseLost."""
        return self.database.do(CheckPoint(run=self.run, holder=self.holder, work=work))
