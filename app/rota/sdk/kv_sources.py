"""Where the entries that a handler sees are, and how they get there; the same for handlers of every kind."""

from typing import Protocol

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.entries import KvSnapshot
from rota.domain.kv.run_writes import KvWork, OtherTable, not_granted
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import CheckpointResult
from rota.sdk.attempt_draft import AttemptDraft


class Source(Protocol):
    """Where the tables of an attempt come from and go to. Each call may block, and may raise."""

    def load_kv(self) -> KvSnapshot:
        """Read the task's own table."""

    def open_kv(self, task: str, /) -> OtherTable:
        """Read the table of another task; raises NotFound."""

    def commit_kv(self, work: KvWork, /) -> CheckpointResult:
        """Make a check-point; raises LeaseLost, and Unavailable if nobody knows whether it was made."""


class OwnPlace:
    """The table of the run's own task. What is written without a look does not wait for one."""

    unread = True

    def __init__(self, draft: AttemptDraft, source: Source) -> None:
        self._draft = draft
        self._source = source

    def loaded(self) -> KvDraft | None:
        """Return the draft to read from, if its snapshot was read."""
        return self._draft.kv if self._draft.kv.loaded else None

    def load(self) -> None:
        """Read the snapshot, which may block. One that was read before a check-point is not taken."""
        before = self._draft.check_points
        snapshot = self._source.load_kv()
        if before == self._draft.check_points:
            self._draft.kv.load(snapshot)

    def to_write(self) -> KvDraft:
        """Return the draft to write to; raises what keeps the attempt from it."""
        self._draft.check_writable()
        return self._draft.kv


class OtherPlace:
    """The table of another task, as it was when the run first looked; written to if that task grants it."""

    unread = False

    def __init__(self, draft: AttemptDraft, source: Source, task: str, name: str) -> None:
        self._draft = draft
        self._source = source
        self._task = task
        self._name = name

    def loaded(self) -> KvDraft | None:
        """Return the draft to read from, if its snapshot was read."""
        found = self._draft.others.get(self._name)
        return None if found is None else found.kv

    def load(self) -> None:
        """Read the snapshot, which may block; raises NotFound."""
        before = self._draft.check_points
        table = self._source.open_kv(self._name)
        if before == self._draft.check_points:
            self._draft.open(self._name, table)

    def to_write(self) -> KvDraft:
        """Return the draft to write to; raises what keeps the attempt from it."""
        self._draft.check_writable()
        found = self._draft.others[self._name]
        if not found.table.granted:
            message = not_granted(self._task, self._name)
            raise self._draft.refuse(RunError("kv.not_granted", message))
        return found.kv


Place = OwnPlace | OtherPlace
