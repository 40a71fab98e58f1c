"""Bulk: one verb for every task that a filter matches, some tasks per write, in the order of their names."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from rota.db.command import Command, Transaction
from rota.db.tables import task
from rota.store.task_rows import TaskFilter, matching
from rota.store.tasks.bulk_verbs import Chosen, Refused, TaskChange, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one write did; `last` is the name to go on from, None when there is nothing left."""

    matched: int
    changed: int
    refused: tuple[Refused, ...] = ()
    #: What it changed of the tasks, for the audit log; of a dry run, nothing.
    changes: Sequence[TaskChange] = field(default=(), compare=False)
    last: str | None = None
    #: The tasks that were run, if that is the verb.
    ran: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DoEach(Command[Batch]):
    """Execute a verb for up to `limit` tasks that a filter matches, from the name `after` on.

    A task that refuses stays as it is, and the others take the verb all the same. `dry_run` answers as the real one
    would: it decides the same, and writes nothing.
    """

    verb: Verb
    wanted: TaskFilter
    after: str = ""
    limit: int | None = None
    dry_run: bool = False

    def apply(self, tx: Transaction) -> Batch:
        limit = self.limit or self.verb.tasks_per_write
        chosen = selected(tx.connection, self.wanted, self.after, limit)
        done = self.verb.do(tx, chosen, dry_run=self.dry_run)
        more = len(chosen) == limit or done.seen < len(chosen)
        return Batch(
            matched=done.seen,
            changed=done.changed,
            refused=tuple(done.refused),
            changes=() if self.dry_run else done.changes,
            last=chosen[done.seen - 1].name if more else None,
            ran=done.ran,
        )


def selected(connection: Connection, wanted: TaskFilter, after: str, limit: int) -> list[Chosen]:
    """Return up to `limit` tasks that a filter matches, in the order of their names, from the name `after` on."""
    present = (task.c.deleted_at.is_(None), task.c.name > after)
    listing = select(task.c.id, task.c.name).where(*present, *matching(wanted))
    rows = connection.execute(listing.order_by(task.c.name).limit(limit))
    return [Chosen._make(row) for row in rows]
