"""Bulk: one verb for every task that a selector matches, some tasks per write, in the order of their names."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select

from rota.db.tables import task, task_tag
from rota.db.writer import Command, Transaction
from rota.errors import AppError
from rota.store.task_rows import starts_with
from rota.store.tasks.bulk_lifecycle import (
    CancelEach,
    DeleteEach,
    PauseEach,
    Refused,
    ResumeEach,
    VerbOfMany,
    bounded,
    lock_named,
)
from rota.store.tasks.run_commands import RunNow

#: Tasks per write, where each is a write of its own: so few that what others write meanwhile hardly waits.
TASKS_PER_WRITE = 25
#: Tasks per write, where a few statements do it for all of them.
TASKS_TOGETHER = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which tasks are meant: values of one member are OR-ed, members are AND-ed; empty means any."""

    tags: Sequence[str] = ()
    name_prefix: str = ""
    status: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RunEach:
    """Run tasks now."""


#: A verb: what it does to tasks.
Verb = PauseEach | ResumeEach | CancelEach | RunEach | DeleteEach


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one write did; `last` is the name to go on from, None when there is nothing left."""

    matched: int
    changed: int
    refused: tuple[Refused, ...] = ()
    last: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoEach(Command[Batch]):
    """Do a verb to up to `limit` tasks that a selector matches, from the name `after` on.

    A task that does not take it stays as it is, and the others take it all the same. `dry_run` answers as the real one
    would: it decides the same, and writes nothing.
    """

    verb: Verb
    wanted: Selector
    after: str = ""
    limit: int | None = None
    dry_run: bool = False

    def apply(self, tx: Transaction) -> Batch:
        if not isinstance(self.verb, RunEach):
            return self._do_together(tx, self.verb, self.limit or TASKS_TOGETHER)
        limit = self.limit or TASKS_PER_WRITE
        if not self.dry_run:
            return self._do_one_by_one(tx, limit)
        mark = len(tx.effects)
        with tx.connection.begin_nested() as savepoint:
            done = self._do_one_by_one(tx, limit)
            savepoint.rollback()
        del tx.effects[mark:]
        return done

    def _do_together(self, tx: Transaction, verb: VerbOfMany, limit: int) -> Batch:
        names = selected(tx.connection, self.wanted, self.after, limit)
        some = names if self.dry_run else bounded(tx.connection, names)
        decided = verb.decide(tx, some, lock=not self.dry_run)
        if not self.dry_run:
            verb.carry_out(tx, decided)
        seen = some[: decided.seen]
        more = len(names) == limit or len(seen) < len(names)
        return Batch(
            matched=len(seen),
            changed=len(decided.meant),
            refused=tuple(decided.refused),
            last=seen[-1] if more else None,
        )

    def _do_one_by_one(self, tx: Transaction, limit: int) -> Batch:
        names = selected(tx.connection, self.wanted, self.after, limit)
        lock_named(tx.connection, names)
        refused = [refusal for name in names if (refusal := self._refusal(tx, name)) is not None]
        return Batch(
            matched=len(names),
            changed=len(names) - len(refused),
            refused=tuple(refused),
            last=names[-1] if len(names) == limit else None,
        )

    def _refusal(self, tx: Transaction, name: str) -> Refused | None:
        """Do it to one task; return why not, if it does not take it. Nothing is kept of what was refused."""
        mark = len(tx.effects)
        try:
            with tx.connection.begin_nested():
                RunNow(task=name).apply(tx)
        except AppError as error:
            del tx.effects[mark:]
            return Refused(name, error.slug, error.detail)
        return None


def selected(connection: Connection, wanted: Selector, after: str, limit: int) -> list[str]:
    """Return the names of up to `limit` tasks that a selector matches, in order, from the name `after` on."""
    listing = select(task.c.name).where(task.c.name > after, *_matching(wanted))
    return list(connection.execute(listing.order_by(task.c.name).limit(limit)).scalars())


def _matching(wanted: Selector) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [task.c.deleted_at.is_(None)]
    if wanted.status:
        conditions.append(task.c.status.in_(wanted.status))
    if wanted.tags:
        tagged = select(task_tag.c.task_id).where(task_tag.c.tag.in_(wanted.tags))
        conditions.append(task.c.id.in_(tagged))
    if wanted.name_prefix:
        conditions.extend(starts_with(task.c.name, wanted.name_prefix))
    return conditions
