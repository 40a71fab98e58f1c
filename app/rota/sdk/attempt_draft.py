"""What an attempt wants to become of it, kept until its end: it commits with the run's success or not at all."""

from asyncio import CancelledError
from dataclasses import dataclass
from datetime import datetime

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.run_writes import Committed, KvWork, OtherTable, TableChanges
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Cancelled, CheckpointResult, Conflicted, Failed, Fatal
from rota.domain.tasks.registration import MOST_BYTES, MOST_REGISTRATIONS, TaskRegistration, size_of


class KvConflict(Exception):  # named by what has happened
    """Somebody else changed what `ctx.kv.commit()` was to write: the attempt ends, and the next one sees the change."""


class KvRefused(Exception):
    """What the run has written cannot be kept: there is no grant, or no room. The attempt has failed."""


@dataclass(frozen=True, slots=True)
class OtherDraft:
    """The table of another task as the run found it, and what the run does to it."""

    table: OtherTable
    kv: KvDraft


class AttemptDraft:
    """The changes that one attempt has asked for so far, to tables and to tasks."""

    __slots__ = (
        "_bytes",
        "_limit",
        "check_points",
        "committing",
        "kv",
        "next_fire",
        "others",
        "registrations",
        "verdict",
    )

    def __init__(self, max_value_bytes: int, kv_revision: int | None = None) -> None:
        """`kv_revision` is that of the task's table at the claim: it holds for what is written unread."""
        self.kv = KvDraft(max_value_bytes, kv_revision)
        self.others: dict[str, OtherDraft] = {}
        self.registrations: tuple[TaskRegistration, ...] = ()
        self.next_fire: datetime | None = None
        #: What the attempt comes to whatever its handler does now; None: that is open.
        self.verdict: Conflicted | Failed | Fatal | Cancelled | None = None
        #: Whether a check-point is under way, or was given up without its answer.
        self.committing = False
        #: How many check-points there were: a table that was read before the last one is not of use.
        self.check_points = 0
        self._limit = max_value_bytes
        self._bytes = 0

    def register(self, made: TaskRegistration) -> None:
        """Keep a registration; raises ValueError for one too many, or too much in all."""
        if len(self.registrations) >= MOST_REGISTRATIONS:
            raise ValueError(f"a run registers at most {MOST_REGISTRATIONS} tasks")
        in_all = self._bytes + size_of(made)
        if in_all > MOST_BYTES:
            raise ValueError(f"what a run registers has at most {MOST_BYTES} bytes in all")
        self._bytes = in_all
        self.registrations += (made,)

    def open(self, task: str, table: OtherTable) -> None:
        """Take the table of another task as it is now; a second time it is ignored, so that reads stay consistent."""
        if task not in self.others:
            kv = KvDraft(self._limit)
            kv.load(table.snapshot)
            self.others[task] = OtherDraft(table, kv)

    def refuse(self, error: RunError) -> KvRefused:
        """Have the attempt fail for good; return what to raise."""
        self.verdict = self.verdict or Fatal(error)
        return KvRefused(error.message)

    def work(self) -> KvWork:
        """Return what has been written since the last check-point."""
        return KvWork(self.kv.changes, self.kv.revision or 0, self._of_others())

    def _of_others(self) -> tuple[TableChanges, ...]:
        if not self.others:
            return ()
        return tuple(
            TableChanges(each.table.task_id, task, changes, each.table.snapshot.revision)
            for task, each in self.others.items()
            if (changes := each.kv.changes)
        )

    def begin_commit(self) -> KvWork | None:
        """Return what a check-point is to commit; if nothing was written, there is only a new snapshot to be read."""
        self.check_writable()
        work = self.work()
        if not (work.changes or work.others):
            self._begin_anew(self.kv.revision)
            return None
        # Until the answer is there nobody knows whether it was made, and what is written now would be lost.
        self.committing = True
        return work

    def end_commit(self, answer: CheckpointResult) -> None:
        """Take the answer; raises KvConflict, KvRefused or CancelledError if the attempt is to end."""
        self.committing = False
        if isinstance(answer, Committed):
            self._begin_anew(answer.revision)
            return
        self.verdict = answer
        self.check_writable()

    def check_writable(self) -> None:
        """Raise what a write has to: the attempt is to end, or a check-point is under way."""
        match self.verdict:
            case Conflicted(key=key, task=task):
                of = "" if task is None else f" of task {task!r}"
                raise KvConflict(f"{key!r}{of} was changed by another writer meanwhile")
            case Failed(error=error) | Fatal(error=error):
                raise KvRefused(error.message)
            case Cancelled():
                raise CancelledError
        if self.committing:
            raise RuntimeError("a `ctx.kv.commit()` has not ended, or was given up: wait for it")

    def _begin_anew(self, revision: int | None) -> None:
        self.kv.begin_anew(revision)
        self.others.clear()
        self.check_points += 1
