"""Access to the tables of an attempt: when they are read, and whether they may be written."""

from typing import Protocol

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.entries import KvSnapshot
from rota.domain.kv.run_writes import KvWrites, OtherTable, not_granted
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import CheckpointResult
from rota.sdk.attempt_draft import AttemptDraft


class Source(Protocol):
    """The source of the tables of an attempt. Each call may block, and may raise."""

    def load_kv(self) -> KvSnapshot:
        """Read the task's own table."""

    def open_kv(self, task: str, /) -> OtherTable:
        """Read the table of another task; raises NotFound."""

    def commit_kv(self, writes: KvWrites, /) -> CheckpointResult:
        """Commit a checkpoint; raises LeaseLost, and Unavailable if it is unknown whether it was committed."""


class OwnTableAccess:
    """The table of the run's own task. It can be written without being read."""

    unread = True

    def __init__(self, draft: AttemptDraft, source: Source) -> None:
        self._draft = draft
        self._source = source

    def loaded(self) -> KvDraft | None:
        """Return the draft to read from, if its snapshot is loaded."""
        return self._draft.kv if self._draft.kv.loaded else None

    def load(self) -> None:
        """Read the snapshot, which may block. It is dropped if a checkpoint is committed meanwhile."""
        before = self._draft.checkpoints
        snapshot = self._source.load_kv()
        if before == self._draft.checkpoints:
            self._draft.kv.load(snapshot)

    def to_write(self) -> KvDraft:
        """Return the draft to write to; raises as `AttemptDraft.check_writable`."""
        self._draft.check_writable()
        return self._draft.kv


class OtherTableAccess:
    """The table of another task, as it was at the first read; it can be written if that task grants it."""

    unread = False

    def __init__(self, draft: AttemptDraft, source: Source, task: str, name: str) -> None:
        self._draft = draft
        self._source = source
        self._task = task
        self._name = name

    def loaded(self) -> KvDraft | None:
        """Return the draft to read from, if its snapshot is loaded."""
        found = self._draft.others.get(self._name)
        return None if found is None else found.kv

    def load(self) -> None:
        """Read the snapshot, which may block; raises NotFound."""
        before = self._draft.checkpoints
        table = self._source.open_kv(self._name)
        if before == self._draft.checkpoints:
            self._draft.open(self._name, table)

    def to_write(self) -> KvDraft:
        """Return the draft to write to; raises as `AttemptDraft.check_writable`."""
        self._draft.check_writable()
        found = self._draft.others[self._name]
        if not found.table.granted:
            message = not_granted(self._task, self._name)
            raise self._draft.refuse(RunError("kv.not_granted", message))
        return found.kv


TableAccess = OwnTableAccess | OtherTableAccess
