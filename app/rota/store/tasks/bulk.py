"""Bulk: one verb for every task that a filter matches, some tasks per write, in the order of their names."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from rota.db.command import Command, Transaction
from rota.db.tables import task
from rota.db.types import is_one_of
from rota.store.task_rows import TaskFilter, matching
from rota.store.tasks.bulk_verbs import Chosen, Refused, TaskChange, Verb

#: How many tasks are selected at a time, for several writes: by tags, that takes as long as some of these.
SELECTED_TOGETHER = 10_000


@dataclass(frozen=True, slots=True)
class Ahead:
    """Tasks that were selected for further writes, by name; `are_all`: there were no others."""

    tasks: Sequence[Chosen] = ()
    are_all: bool = False

    def behind(self, name: str) -> "Ahead":
        """Return those with later names."""
        return Ahead([each for each in self.tasks if each.name > name], self.are_all)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one write did; `last` is the name to continue from, None when there is nothing left."""

    matched: int
    changed: int
    refused: tuple[Refused, ...] = ()
    #: What it changed of the tasks, for the audit log; of a dry run, nothing.
    changes: Sequence[TaskChange] = field(default=(), compare=False)
    last: str | None = None
    #: Those that are selected already, for the next write.
    ahead: Ahead = field(default=Ahead(), compare=False)
    #: The tasks that were run, if that is the verb.
    ran: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DoEach(Command[Batch]):
    """Execute a verb for up to `limit` tasks that a filter matches, from the name `after` on.

    `ahead`: what was selected from there on, before this write. Those that the filter does not match any more are left
    out. None: they are selected here.

    A task that refuses stays as it is, and the others take the verb anyway. `dry_run` answers as the real one
    would: it decides the same, and writes nothing.
    """

    verb: Verb
    wanted: TaskFilter
    after: str = ""
    ahead: Ahead | None = None
    limit: int | None = None
    dry_run: bool = False

    def apply(self, tx: Transaction) -> Batch:
        limit = self.limit or self.verb.tasks_per_write
        ahead = self.ahead or select_ahead(tx.connection, self.wanted, self.after, limit)
        considered = ahead.tasks[:limit]
        chosen = considered
        if self.ahead is not None and chosen:
            chosen = still_selected(tx.connection, self.wanted, considered)
        done = self.verb.do(tx, chosen, dry_run=self.dry_run)
        if done.seen < len(chosen):
            considered = considered[: considered.index(chosen[done.seen])]
        last = considered[-1].name if considered else self.after
        left = ahead.behind(last)
        return Batch(
            matched=done.seen,
            changed=done.changed,
            refused=tuple(done.refused),
            changes=() if self.dry_run else done.changes,
            last=None if left.are_all and not left.tasks else last,
            ahead=left,
            ran=done.ran,
        )


def select_ahead(connection: Connection, wanted: TaskFilter, after: str, most: int) -> Ahead:
    """Return up to `most` tasks that a filter matches, from the name `after` on."""
    found = selected(connection, wanted, after, most)
    return Ahead(found, are_all=len(found) < most)


def selected(connection: Connection, wanted: TaskFilter, after: str, limit: int) -> list[Chosen]:
    """Return up to `limit` tasks that a filter matches, in the order of their names, from the name `after` on."""
    present = (task.c.deleted_at.is_(None), task.c.name > after)
    listing = select(task.c.id, task.c.name).where(*present, *matching(wanted))
    rows = connection.execute(listing.order_by(task.c.name).limit(limit))
    return [Chosen._make(row) for row in rows]


def still_selected(
    connection: Connection, wanted: TaskFilter, chosen: Sequence[Chosen]
) -> list[Chosen]:
    """Return those of the tasks that the filter still matches."""
    present = (is_one_of(task.c.id, "g_ids"), task.c.deleted_at.is_(None))
    listing = select(task.c.id).where(*present, *matching(wanted, of_many=True))
    rows = connection.execute(listing, {"g_ids": [each.id for each in chosen]})
    ids = set(rows.scalars())
    return [each for each in chosen if each.id in ids]
