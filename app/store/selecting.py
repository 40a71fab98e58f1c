"""Bulk: one verb for every task that a selector matches, a few tasks per write, in the order of their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from app.db.tables import task, task_tag
from app.db.writer import Command, Transaction
from app.domain.planning import CatchUp
from app.domain.tasks import TaskStatus
from app.errors import AppError
from app.store.runs import RunNow
from app.store.statuses import Cancel, Change, Delete, Pause, Resume
from app.store.tasks import starts_with

#: Tasks per write: so few that what others write meanwhile hardly waits.
TASKS_PER_WRITE = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which tasks are meant: values of one member are OR-ed, members are AND-ed; empty means any."""

    tags: Sequence[str] = ()
    name_prefix: str = ""
    status: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PauseEach:
    """Pause tasks, with a reason."""

    by: str
    reason: str | None = None
    leaves: TaskStatus | None = TaskStatus.PAUSED

    def command(self, name: str) -> Command[Any]:
        return Pause(Change(name=name, by=self.by), self.reason)


@dataclass(frozen=True, slots=True)
class ResumeEach:
    """Resume tasks; `catch_up` says what becomes of what passed meanwhile."""

    by: str
    catch_up: CatchUp = "none"
    leaves: TaskStatus | None = TaskStatus.ACTIVE

    def command(self, name: str) -> Command[Any]:
        return Resume(Change(name=name, by=self.by), self.catch_up)


@dataclass(frozen=True, slots=True)
class CancelEach:
    """Cancel tasks."""

    by: str
    leaves: TaskStatus | None = TaskStatus.CANCELLED

    def command(self, name: str) -> Command[Any]:
        return Cancel(Change(name=name, by=self.by))


@dataclass(frozen=True, slots=True)
class RunEach:
    """Run tasks now."""

    leaves: TaskStatus | None = None

    def command(self, name: str) -> Command[Any]:
        return RunNow(task=name)


@dataclass(frozen=True, slots=True)
class DeleteEach:
    """Delete tasks."""

    by: str
    leaves: TaskStatus | None = None

    def command(self, name: str) -> Command[Any]:
        return Delete(Change(name=name, by=self.by))


#: A verb: what it does to a task, and the status (`leaves`) in which it finds nothing to do.
Verb = PauseEach | ResumeEach | CancelEach | RunEach | DeleteEach


@dataclass(frozen=True, slots=True)
class Refused:
    """A task that did not take the verb, and why."""

    task: str
    slug: str
    detail: str


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

    A task that does not take it stays as it is, and the others take it all the same. `dry_run` does it and takes it
    back, so that it answers as the real one would.
    """

    verb: Verb
    wanted: Selector
    after: str = ""
    limit: int = TASKS_PER_WRITE
    dry_run: bool = False

    def apply(self, tx: Transaction) -> Batch:
        if not self.dry_run:
            return self._do(tx)
        mark = len(tx.effects)
        with tx.connection.begin_nested() as savepoint:
            done = self._do(tx)
            savepoint.rollback()
        del tx.effects[mark:]
        return done

    def _do(self, tx: Transaction) -> Batch:
        names = selected(tx.connection, self.wanted, self.after, self.limit)
        statuses = _locked(tx.connection, names)
        meant = [name for name in names if statuses.get(name) != self.verb.leaves]
        refused = [refusal for name in meant if (refusal := self._refusal(tx, name)) is not None]
        return Batch(
            matched=len(names),
            changed=len(meant) - len(refused),
            refused=tuple(refused),
            last=names[-1] if len(names) == self.limit else None,
        )

    def _refusal(self, tx: Transaction, name: str) -> Refused | None:
        """Do it to one task; return why not, if it does not take it. Nothing is kept of what was refused."""
        mark = len(tx.effects)
        try:
            with tx.connection.begin_nested():
                self.verb.command(name).apply(tx)
        except AppError as error:
            del tx.effects[mark:]
            return Refused(name, error.slug, error.detail)
        return None


def selected(connection: Connection, wanted: Selector, after: str, limit: int) -> list[str]:
    """Return the names of up to `limit` tasks that a selector matches, in order, from the name `after` on."""
    listing = select(task.c.name).where(task.c.name > after, *_matching(wanted))
    return list(connection.execute(listing.order_by(task.c.name).limit(limit)).scalars())


def _locked(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """Return the statuses of tasks, which nobody else changes now (PostgreSQL).

    Locked by id, as firing does, so that replicas do not wait for each other in a circle.
    """
    wanted = (
        select(task.c.name, task.c.status)
        .where(task.c.name.in_(names), task.c.deleted_at.is_(None))
        .order_by(task.c.id)
        .with_for_update()
    )
    return {row.name: row.status for row in connection.execute(wanted)}


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
