"""The draft of an attempt: kv writes and registrations, which commit with the run's success or not at all."""

from asyncio import CancelledError
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.run_writes import Committed, KvWrites, OtherTable, TableWrites
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Cancelled, CheckpointResult, Conflicted, Failed, Fatal
from rota.domain.tasks.registration import MOST_BYTES, MOST_REGISTRATIONS, TaskRegistration, size_of


class KvConflict(Exception):  # named by what has happened
    """Another writer changed an entry that `ctx.kv.commit()` writes: the attempt ends; the next one reads it."""


class KvRefused(Exception):
    """The writes of the run cannot be committed: a grant is missing, or a limit is exceeded. The attempt has failed."""


@dataclass(frozen=True, slots=True)
class OtherDraft:
    """The table of another task as the run has read it, and the draft of the run's changes to it."""

    table: OtherTable
    kv: KvDraft


class AttemptDraft:
    """The changes that an attempt has requested so far, to tables and to tasks."""

    __slots__ = (
        "_bytes",
        "_limit",
        "checkpoints",
        "committing",
        "kv",
        "next_fire",
        "others",
        "registrations",
        "timings",
        "verdict",
    )

    def __init__(self, max_value_bytes: int, kv_revision: int | None = None) -> None:
        """`kv_revision` is that of the task's table at the claim: writes refer to it if the table is not read."""
        self.kv = KvDraft(max_value_bytes, kv_revision)
        self.others: dict[str, OtherDraft] = {}
        self.registrations: tuple[TaskRegistration, ...] = ()
        self.next_fire: datetime | None = None
        #: Of the call of an `http` task: the seconds of its phases.
        self.timings: Mapping[str, float] | None = None
        #: The outcome of the attempt, if it is already decided, whatever the handler does from here on.
        self.verdict: Conflicted | Failed | Fatal | Cancelled | None = None
        #: Whether a checkpoint is in progress, or was abandoned before its result arrived.
        self.committing = False
        #: The number of checkpoints so far: tables that were read before the last one are out of date.
        self.checkpoints = 0
        self._limit = max_value_bytes
        self._bytes = 0

    def register(self, made: TaskRegistration) -> None:
        """Keep a registration; raises ValueError if there are too many, or too many bytes in all."""
        if len(self.registrations) >= MOST_REGISTRATIONS:
            raise ValueError(f"a run registers at most {MOST_REGISTRATIONS} tasks")
        in_all = self._bytes + size_of(made)
        if in_all > MOST_BYTES:
            raise ValueError(f"the registrations of a run have at most {MOST_BYTES} bytes in all")
        self._bytes = in_all
        self.registrations += (made,)

    def open(self, task: str, table: OtherTable) -> None:
        """Keep the table of another task; a second one is ignored, so that reads stay consistent."""
        if task not in self.others:
            kv = KvDraft(self._limit)
            kv.load(table.snapshot)
            self.others[task] = OtherDraft(table, kv)

    def refuse(self, error: RunError) -> KvRefused:
        """Fail the attempt for good; return the exception to raise."""
        self.verdict = self.verdict or Fatal(error)
        return KvRefused(error.message)

    def writes(self) -> KvWrites:
        """Return the writes since the last checkpoint."""
        return KvWrites(self.kv.changes, self.kv.revision or 0, self._of_others())

    def _of_others(self) -> tuple[TableWrites, ...]:
        if not self.others:
            return ()
        return tuple(
            TableWrites(each.table.task_id, task, changes, each.table.snapshot.revision)
            for task, each in self.others.items()
            if (changes := each.kv.changes)
        )

    def begin_commit(self) -> KvWrites | None:
        """Return the writes of a checkpoint; None, and a new snapshot for later reads, if there are none."""
        self.check_writable()
        writes = self.writes()
        if not (writes.changes or writes.others):
            self._begin_anew(self.kv.revision)
            return None
        # Until the result arrives it is unknown whether the checkpoint was committed; writes would be lost.
        self.committing = True
        return writes

    def end_commit(self, result: CheckpointResult) -> None:
        """Apply the result of a checkpoint; raises KvConflict, KvRefused or CancelledError if the attempt must end."""
        self.committing = False
        if isinstance(result, Committed):
            self._begin_anew(result.revision)
            return
        self.verdict = result
        self.check_writable()

    def check_writable(self) -> None:
        """Raise KvConflict, KvRefused or CancelledError if the attempt must end, RuntimeError during a checkpoint."""
        match self.verdict:
            case None:
                pass
            case Conflicted(key=key, task=task):
                of = "" if task is None else f" of task {task!r}"
                raise KvConflict(f"{key!r}{of} was changed by another writer meanwhile")
            case Failed(error=error) | Fatal(error=error):
                raise KvRefused(error.message)
            case Cancelled():
                raise CancelledError
            case _:
                assert_never(self.verdict)
        if self.committing:
            raise RuntimeError("a `ctx.kv.commit()` has not ended, or was abandoned: wait for it")

    def _begin_anew(self, revision: int | None) -> None:
        self.kv.begin_anew(revision)
        self.others.clear()
        self.checkpoints += 1
