"""The badge of a task, from what is stored."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import assert_never

from sqlalchemy import Connection, select

from rota.db.tables import alert, task, task_tag
from rota.domain.access.names import NameLimit
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
from rota.domain.tasks.definition import BadgeAudience
from rota.domain.tasks.task import Task
from rota.store.holds.reading import holds_that_matter
from rota.store.stats.chosen import ChosenTasks
from rota.store.stats.reading import read_report
from rota.store.task_names import covers
from rota.store.task_rows import find_task

#: Tasks that a status page shows.
MOST_ON_A_PAGE = 100
#: Tasks with a tag whose definitions are read for one, the earliest registered: anyone may ask, also without a key.
MOST_TAGGED = 10_000
# What the definition of a task with a public badge contains. Others may as well, so each is read before it counts.
_PUBLIC = f'%"badge":"{BadgeAudience.PUBLIC}"%'
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


def public_states(connection: Connection, tag: str, limit: NameLimit, now: datetime) -> list[Badge]:
    """Return the badges of the tasks with a tag that make them public, by name: at most one more than a page has.

    Of a tag with more than `MOST_TAGGED` tasks, those that were registered first count.
    """
    public = islice(_public_tasks(connection, tag, limit), MOST_ON_A_PAGE + 1)
    return [state_badge(_state_of(connection, each, now), now) for each in public]


def _public_tasks(connection: Connection, tag: str, limit: NameLimit) -> Iterator[Task]:
    tagged = select(task_tag.c.task_id).where(task_tag.c.tag == tag)
    tagged = tagged.order_by(task_tag.c.task_id).limit(MOST_TAGGED)
    names = (
        select(task.c.name)
        .where(task.c.id.in_(tagged), task.c.deleted_at.is_(None), covers(limit, task.c.name))
        .where(task.c.definition.like(_PUBLIC))
        .order_by(task.c.name)
    )
    for name in connection.execute(names).scalars().all():
        found = find_task(connection, name)
        if found.definition.badge is BadgeAudience.PUBLIC:
            yield found


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
