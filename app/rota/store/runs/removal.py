"""Removal of finished runs. The last fire time among those of a task stays: statistics begin after it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.tables import removed_runs, run
from rota.db.types import is_one_of
from rota.domain.primitives.ids import Id

_THESE = and_(is_one_of(run.c.id, "g_ids"), run.c.finished_at.is_not(None))
_DELETE = delete(run).where(_THESE)


def _noting(insert: Any) -> Any:
    last = func.max(func.coalesce(run.c.scheduled_until, run.c.scheduled_for))
    # In the order of tasks, so that replicas do not deadlock.
    of_tasks = (
        select(run.c.task_id, last).where(_THESE).group_by(run.c.task_id).order_by(run.c.task_id)
    )
    noted = insert(removed_runs).from_select(["task_id", "until_at"], of_tasks)
    later = noted.excluded.until_at > removed_runs.c.until_at
    return noted.on_conflict_do_update(
        index_elements=["task_id"],
        set_={"until_at": case((later, noted.excluded.until_at), else_=removed_runs.c.until_at)},
    )


_NOTE = {"sqlite": _noting(sqlite.insert), "postgresql": _noting(postgresql.insert)}


def remove_runs(connection: Connection, ids: Sequence[Id]) -> int:
    """Remove finished runs, which are locked; return how many. Note until when their tasks have lost some."""
    if not ids:
        return 0
    connection.execute(_NOTE[connection.dialect.name], {"g_ids": list(ids)})
    return connection.execute(_DELETE, {"g_ids": list(ids)}).rowcount
