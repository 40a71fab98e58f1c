"""The latest runs of each of some tasks, read by one statement."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, select, union_all

from rota.db.tables import run
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import RunStatus


class RunMark(NamedTuple):
    """What a list of tasks shows of a run."""

    id: Id
    status: RunStatus
    scheduled_for: datetime
    #: Of the last attempt, once it has ended.
    duration: timedelta | None


def latest_runs(
    connection: Connection, tasks: Sequence[Id], each: int
) -> Mapping[Id, Sequence[RunMark]]:
    """Return up to `each` runs of every task, the newest `scheduled_for` first: a short walk of an index per task."""
    if not tasks or not each:
        return {}
    found: dict[Id, list[RunMark]] = defaultdict(list)
    for row in connection.execute(union_all(*(_of(task, each) for task in tasks))):
        found[row.task_id].append(_to_mark(row))
    return {
        task: sorted(marks, key=lambda mark: (mark.scheduled_for, mark.id), reverse=True)
        for task, marks in found.items()
    }


def _of(task: Id, most: int) -> Select[Any]:
    latest = (
        select(
            run.c.task_id,
            run.c.id,
            run.c.status,
            run.c.scheduled_for,
            run.c.started_at,
            run.c.finished_at,
        )
        .where(run.c.task_id == task)
        .order_by(run.c.scheduled_for.desc(), run.c.id.desc())
        .limit(most)
    )
    return select(latest.subquery())


def _to_mark(row: Any) -> RunMark:
    ended = row.started_at is not None and row.finished_at is not None
    duration = max(row.finished_at - row.started_at, timedelta()) if ended else None
    return RunMark(row.id, RunStatus(row.status), row.scheduled_for, duration)
