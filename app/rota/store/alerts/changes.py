"""Alerts that are raised when their task is changed: those without a rule are forgotten, and nobody is notified."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, select, tuple_

from rota.db.command import Command, Transaction
from rota.db.connection_state.alerting import alerting_of
from rota.db.tables import alert, task
from rota.db.types import among
from rota.domain.alerts.defaults import rules_of
from rota.domain.alerts.rules import AlertKind
from rota.domain.primitives.ids import Id
from rota.domain.tasks.task import Task
from rota.store.definitions import read_definition

Place = tuple[Id, str]


def forget_alerts(tx: Transaction, task_ids: Collection[Id]) -> None:
    """Forget the raised alerts of cancelled tasks: they would never end."""
    tx.connection.execute(delete(alert).where(among(alert.c.task_id, task_ids)))


def forget_without_rules(tx: Transaction, existing: Task, changed: Task) -> None:
    """Forget the raised alerts of a task whose new definition has no rule for them any more.

    One whose rule was changed stays raised until it ends, and whoever the new rule names is notified of that.
    """
    defaults = alerting_of(tx.connection).defaults
    before = rules_of(existing.definition, existing.name, defaults)
    after = rules_of(changed.definition, changed.name, defaults)
    if before == after:
        return
    gone = [kind for kind in AlertKind if after.of(kind) is None]
    tx.connection.execute(
        delete(alert).where(alert.c.task_id == changed.id, alert.c.kind.in_(gone))
    )


@dataclass(frozen=True, slots=True)
class ForgetStale(Command[Place | None]):
    """Forget raised alerts whose rule was a default of the service that is not set any more.

    Looks at up to `limit` alerts behind a place; returns the place of the last one, None if there are no more.
    """

    patient = False

    after: Place | None
    limit: int

    def apply(self, tx: Transaction) -> Place | None:
        place = tuple_(alert.c.task_id, alert.c.kind)
        raised = (
            select(alert.c.task_id, alert.c.kind, task.c.name, task.c.definition)
            .join(task, task.c.id == alert.c.task_id)
            .order_by(alert.c.task_id, alert.c.kind)
            .limit(self.limit)
        )
        if self.after is not None:
            raised = raised.where(place > self.after)
        rows = tx.connection.execute(raised).all()
        defaults = alerting_of(tx.connection).defaults
        for row in rows:
            rules = rules_of(read_definition(row.definition), row.name, defaults)
            if rules.of(AlertKind(row.kind)) is None:
                stale = (alert.c.task_id == row.task_id, alert.c.kind == row.kind)
                tx.connection.execute(delete(alert).where(*stale))
        return (rows[-1].task_id, rows[-1].kind) if len(rows) == self.limit else None
