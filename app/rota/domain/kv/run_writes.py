"""The writes of a run to key-value tables: its own, and those of other tasks."""

from dataclasses import dataclass

from rota.domain.kv.entries import Change, KvSnapshot
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class


@value_class()
class TableWrites:
    """The changes of a run to the table of a task, since the `revision` that the run has read."""

    task_id: Id
    task: str
    changes: tuple[Change, ...]
    revision: int


@value_class()
class KvWrites:
    """The writes of a run so far: to its own table, since `revision`, and to those of other tasks."""

    changes: tuple[Change, ...]
    revision: int
    others: tuple[TableWrites, ...] = ()

    def tables(self, task_id: Id, task: str) -> tuple[TableWrites, ...]:
        """Return the changes by table; the arguments are the run's own task."""
        if not self.changes:
            return self.others
        return (TableWrites(task_id, task, self.changes, self.revision), *self.others)


@dataclass(frozen=True, slots=True)
class OtherTable:
    """The table of another task as a run reads it; `granted`: the run may write to it."""

    task_id: Id
    snapshot: KvSnapshot
    granted: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """A checkpoint was committed; the run's own table has this revision now."""

    revision: int


def not_granted(task: str, other: str) -> str:
    """Return the message that runs of `task` cannot write to the table of `other`."""
    return f"Task {other!r} does not let runs of {task!r} write to its kv: its 'kv_grants' would have to name {task!r}."
