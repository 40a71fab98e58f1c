"""Failed runs, as they are read to be grouped by their errors."""

from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from rota.db.tables import run, task
from rota.db.types import spelled_out
from rota.domain.runs.error_groups import Failure
from rota.domain.runs.status import RunStatus
from rota.store.json_columns import load_message
from rota.store.runs.listing.filters import RunFilter, matching_runs

#: How many failures are grouped: the latest ones.
MOST_GROUPED = 5_000
# Type and message come first in the text of an error.
_HEAD = 1_500


class Failures(NamedTuple):
    """The latest failures, and whether there are no more."""

    found: list[Failure]
    is_complete: bool


def latest_failures(
    connection: Connection, wanted: RunFilter, most: int = MOST_GROUPED
) -> Failures:
    """Return failed runs that meet the other conditions of a filter, the latest first."""
    # Spelled out, as in the index of failures: that of the unsuccessful runs has another order.
    others = replace(wanted, status=())
    latest = (
        select(
            run.c.id,
            task.c.name,
            run.c.reason,
            run.c.finished_at,
            run.c.error_type,
            func.substr(run.c.error, 1, _HEAD).label("head"),
        )
        .join(task, task.c.id == run.c.task_id)
        .where(task.c.deleted_at.is_(None), run.c.status == spelled_out(RunStatus.FAILED))
        .where(*matching_runs(others))
        .order_by(run.c.finished_at.desc())
        .limit(most + 1)
    )
    rows = connection.execute(latest).all()
    return Failures([_to_failure(row) for row in rows[:most]], len(rows) <= most)


def _to_failure(row: Any) -> Failure:
    run_id, name, reason, finished_at, error_type, head = row
    return Failure(run_id, name, reason, error_type or "", load_message(head), finished_at)
