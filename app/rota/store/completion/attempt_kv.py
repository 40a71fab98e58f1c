"""Access of attempts to the key-value tables: read past the writer, checkpointed through it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection

from rota.clock import Clock
from rota.domain.kv.entries import DEFAULT_LIMITS, KvLimits, KvSnapshot
from rota.domain.kv.run_writes import KvWrites, OtherTable
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import CheckpointResult
from rota.store.completion.checkpoint import Checkpoint
from rota.store.kv import entries as kv


@dataclass(frozen=True, slots=True)
class KvAccess:
    """What all attempts of a process share: `read` opens a read transaction, `commit` commits a checkpoint."""

    read: Callable[[], AbstractContextManager[Connection]]
    commit: Callable[[Checkpoint], CheckpointResult]
    clock: Clock
    limits: KvLimits = DEFAULT_LIMITS


@value_class()
class AttemptKv:
    """The tables as one attempt accesses them; called from handlers' threads, which block."""

    access: KvAccess
    run: ClaimedRun
    holder: Id

    def load_kv(self) -> KvSnapshot:
        """Read the table of the run's own task."""
        with self.access.read() as connection:
            return kv.snapshot(connection, self.run.task_id, self.access.clock.now())

    def open_kv(self, task: str) -> OtherTable:
        """Read the table of the task with this name; raises NotFound."""
        with self.access.read() as connection:
            return kv.other_table(connection, task, self.run.task, self.access.clock.now())

    def commit_kv(self, work: KvWrites) -> CheckpointResult:
        """Commit a checkpoint. Raises LeaseLost, and Unavailable if it may or may not have been committed."""
        limits = self.access.limits
        checkpoint = Checkpoint(run=self.run, holder=self.holder, work=work, limits=limits)
        return self.access.commit(checkpoint)
