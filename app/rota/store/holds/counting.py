"""How many tasks a hold selects."""

from sqlalchemy import Connection, func, select

from rota.db.tables import task
from rota.domain.holds.model import HoldSelector
from rota.store.task_rows import TaskFilter, matching


def count_held(connection: Connection, selector: HoldSelector) -> int:
    """Return how many tasks a selector matches, whatever their status."""
    wanted = TaskFilter(
        tag=sorted(selector.tags),
        queue=sorted(selector.queues),
        name_prefix=selector.name_prefix,
        limit=selector.limit,
    )
    matched = select(func.count()).select_from(task).where(task.c.deleted_at.is_(None))
    return int(connection.execute(matched.where(*matching(wanted))).scalar_one())
