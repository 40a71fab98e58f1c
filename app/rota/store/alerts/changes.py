"""Alerts that are raised when their task is changed: those without a rule are forgotten, and nobody is notified."""

from collections.abc import Collection

from sqlalchemy import delete

from rota.db.alerting import alerting_of
from rota.db.command import Transaction
from rota.db.tables import alert
from rota.domain.alerts.defaults import rules_of
from rota.domain.alerts.rules import AlertKind
from rota.domain.primitives.ids import Id
from rota.domain.tasks.definition import Task


def forget_alerts(tx: Transaction, task_ids: Collection[Id]) -> None:
    """Forget the raised alerts of cancelled tasks: they would never end."""
    tx.connection.execute(delete(alert).where(alert.c.task_id.in_(task_ids)))


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
