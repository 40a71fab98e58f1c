"""The badge of a task, from what is stored."""

from datetime import datetime
from typing import assert_never

from sqlalchemy import Connection, select

from rota.db.tables import alert
from rota.domain.alerts.rules import AlertKind
from rota.domain.stats.badge import (
    COMPLETENESS_OF,
    Badge,
    BadgeMetric,
    TaskState,
    completeness_badge,
    state_badge,
)
from rota.domain.stats.window import Window
from rota.domain.tasks.definition import Task
from rota.store.holds.reading import holds_that_matter
from rota.store.stats.chosen import ChosenTasks
from rota.store.stats.reading import read_report

_OVERDUE = (AlertKind.LATE, AlertKind.NO_PING, AlertKind.NO_SUCCESS)


def read_badge(connection: Connection, found: Task, metric: BadgeMetric, now: datetime) -> Badge:
    """Return the badge of a task that shows a metric."""
    match metric:
        case BadgeMetric.STATE:
            return state_badge(_state_of(connection, found, now), now)
        case BadgeMetric.COMPLETENESS:
            window = Window(now - COMPLETENESS_OF, now)
            report = read_report(connection, ChosenTasks(id=found.id), window, now)
            return completeness_badge(found.name, report)
        case _:
            assert_never(metric)


def _state_of(connection: Connection, found: Task, now: datetime) -> TaskState:
    definition, holds = found.definition, holds_that_matter(connection)
    raised = select(alert.c.kind).where(alert.c.task_id == found.id, alert.c.kind.in_(_OVERDUE))
    return TaskState(
        name=found.name,
        status=found.status,
        next_fire_at=found.next_fire_at,
        consecutive_failures=found.consecutive_failures,
        last_success_at=found.last_success_at,
        is_held=bool(holds.holding(found.name, definition.queue, definition.tags, now)),
        is_overdue=connection.execute(raised.limit(1)).first() is not None,
    )
