"""Edges: an alert is raised or recovers, once, and the task that its rule names is run with the event."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.command import Transaction
from rota.db.connection_state.alerting import alerting_of
from rota.db.tables import alert, task
from rota.db.types import is_one_of
from rota.domain.alerts.defaults import Rules, rules_of
from rota.domain.alerts.events import event_of
from rota.domain.alerts.rules import AlertKind, FailureRule, LateRule
from rota.domain.effects import AlertChanged
from rota.domain.holds.held import HoldsVersion
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.tasks.definition import TaskStatus
from rota.store.alerts.notifications import Notice, notify
from rota.store.definitions import read_definition
from rota.store.holds.reading import VERSION, holds_at
from rota.store.task_changes import SERVICE
from rota.store.task_locks import locking


def is_muted(status: str, changed_by: str) -> bool:
    """Return whether nothing is raised of a task: it is cancelled, or somebody has paused it.

    That Rota itself has paused it (`unplannable`, `target_gone`) is something to be notified of. A completed task may
    still have a run, which can fail.
    """
    if status == TaskStatus.PAUSED:
        return changed_by != SERVICE
    return status == TaskStatus.CANCELLED


@value_class(kw_only=True)
class Edge:
    """A condition of a task that has come true (`raised`) or has ended."""

    task_id: Id
    kind: AlertKind
    raised: bool
    #: The run that caused it, if one did.
    run_id: Id | None = None
    #: What the event has beside the run and the task: `{"message": …}`.
    details: dict[str, Any]


class Subject(NamedTuple):
    """A task that alerts are about, as it is locked; with the version of the holds."""

    id: Id
    name: str
    status: str
    status_changed_by: str
    definition: str
    consecutive_failures: int
    last_success_at: datetime | None
    holds_number: int
    holds_changed_at: datetime | None

    def is_silent(self, connection: Connection, now: datetime) -> bool:
        """Return whether nothing is raised of it: it is muted, or held."""
        if is_muted(self.status, self.status_changed_by):
            return True
        holds = holds_at(connection, HoldsVersion(self.holds_number, self.holds_changed_at))
        if not holds:  # nearly always
            return False
        definition = read_definition(self.definition)
        return holds.holding(self.name, definition.queue, definition.tags, now) is not None

    def rules(self, defaults: Rules) -> Rules:
        """Return the rules that hold for it."""
        return rules_of(read_definition(self.definition), self.name, defaults)


_SUBJECTS = locking(*(task.c[name] for name in Subject._fields[:-2]), *VERSION).where(
    is_one_of(task.c.id, "g_ids"), task.c.deleted_at.is_(None)
)
_RAISE = {
    "sqlite": sqlite.insert(alert).on_conflict_do_nothing().returning(alert.c.raised_at),
    "postgresql": postgresql.insert(alert).on_conflict_do_nothing().returning(alert.c.raised_at),
}
_END = (
    delete(alert)
    .where(alert.c.task_id == bindparam("g_task"), alert.c.kind == bindparam("g_kind"))
    .returning(alert.c.raised_at)
)


def write_edges(tx: Transaction, edges: Sequence[Edge]) -> None:
    """Write what follows from edges, in their order: alerts, notifications, and the runs that send them.

    An alert that is raised already is not raised again, and one that is not raised does not end: such an edge is left
    out, so that a caller need not look first, and two replicas that see the same condition notify once. Nothing is
    raised of a task that is paused, held, cancelled or deleted, or that has no rule of this kind (its own, or a default
    of the service); an alert of it can still end. `success` has no end: each edge of it notifies.

    The tasks are locked, by id: lock them first if rows of runs are locked before. The tasks to notify are not waited
    for: where one is locked, missing, paused or cancelled, its notification is tried again later (`sending`). The event
    gets the `message` of `details`, or else a sentence that fits the kind; other fields of `details` are added to
    `data`. Its `since` is when the alert was raised.
    """
    if not edges:
        return
    subjects = lock_subjects(tx, {edge.task_id for edge in edges})
    notices = [
        notice
        for edge in edges
        if edge.task_id in subjects
        and (notice := _written(tx, edge, subjects[edge.task_id])) is not None
    ]
    notify(tx, notices)


def lock_subjects(tx: Transaction, task_ids: Collection[Id]) -> dict[Id, Subject]:
    """Lock tasks, by id; return those that are not deleted."""
    rows = tx.connection.execute(_SUBJECTS, {"g_ids": list(task_ids)})
    return {row.id: row for row in map(Subject._make, rows)}


def _written(tx: Transaction, edge: Edge, of: Subject) -> Notice | None:
    """Write the row of an edge; return whom to notify, unless it was no edge or nobody is to be notified."""
    rule = of.rules(alerting_of(tx.connection).defaults).of(edge.kind)
    if edge.raised:
        silent = rule is None or of.is_silent(tx.connection, tx.now)
        since = None if silent or not _raise(tx, edge) else tx.now
    else:
        since = _end(tx, edge)
    what = event_of(edge.kind, raised=edge.raised)
    if since is None or what is None:
        return None
    if edge.kind is not AlertKind.SUCCESS:
        tx.effects.append(AlertChanged(of.id, what, edge.kind, edge.run_id))
    if rule is None or (not edge.raised and not _notifies_of_recovery(rule)):
        return None
    return Notice(
        task_id=of.id,
        task=of.name,
        definition=read_definition(of.definition),
        consecutive_failures=of.consecutive_failures,
        last_success_at=of.last_success_at,
        kind=edge.kind,
        event=what,
        notifies=rule.task,
        since=since,
        run_id=edge.run_id,
        details=edge.details,
    )


def _notifies_of_recovery(rule: object) -> bool:
    return isinstance(rule, (FailureRule, LateRule)) and rule.recovery


def _raise(tx: Transaction, edge: Edge) -> bool:
    """Raise an alert; return whether it was not raised before. The primary key decides between two replicas."""
    if edge.kind is AlertKind.SUCCESS:
        return True
    row = {
        "task_id": edge.task_id,
        "kind": edge.kind,
        "raised_at": tx.now,
        "run_id": edge.run_id,
    }
    insertion = _RAISE[tx.connection.dialect.name]
    return tx.connection.execute(insertion, row).one_or_none() is not None


def _end(tx: Transaction, edge: Edge) -> datetime | None:
    """Remove an alert; return since when it was raised, None if it was not."""
    ended = {"g_task": edge.task_id, "g_kind": edge.kind}
    since: datetime | None = tx.connection.execute(_END, ended).scalar_one_or_none()
    return since
