"""The tables that a run works with: its own, and those of other tasks."""

from dataclasses import dataclass

from rota.domain.kv.entries import Change, KvSnapshot
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class


@value_class()
class TableChanges:
    """What a run does to the table of one task, since the revision of it that the run has seen."""

    task_id: Id
    task: str
    changes: tuple[Change, ...]
    revision: int


@value_class()
class KvWork:
    """What a run has written so far: to its own table, since `revision`, and to those of other tasks."""

    changes: tuple[Change, ...]
    revision: int
    others: tuple[TableChanges, ...] = ()

    def tables(self, task_id: Id, task: str) -> tuple[TableChanges, ...]:
        """Return the tables that are written to; those of the arguments are the run's own."""
        if not self.changes:
            return self.others
        return (TableChanges(task_id, task, self.changes, self.revision), *self.others)


@dataclass(frozen=True, slots=True)
class OtherTable:
    """The table of another task as a run finds it; `granted` says whether the run may write to it."""

    task_id: Id
    snapshot: KvSnapshot
    granted: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """A check-point was made; the run's own table has this revision now."""

    revision: int


def not_granted(task: str, other: str) -> str:
    """Return why runs of `task` cannot write to the table of `other`."""
    return f"Task {other!r} does not let runs of {task!r} write to its kv: its 'kv_grants' would have to name {task!r}."
