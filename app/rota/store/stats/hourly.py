"""What ended in each hour: how many runs, how they ended, and how late they had started."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, case, cast, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from rota.db.expressions.elapsed import elapsed_ms
from rota.db.tables import run, task
from rota.domain.access.names import NameLimit
from rota.domain.runs.status import RunStatus
from rota.store.task_names import covers


class _hour(FunctionElement[str]):  # noqa: N801  # it reads as a function
    """The UTC hour of an instant as a text, `2026-11-25 08`."""

    type = String()
    inherit_cache = True


@compiles(_hour, "sqlite")
def _of_text(element: Any, compiler: Any, **given: Any) -> str:
    return f"substr({compiler.process(element.clauses, **given)}, 1, 13)"


@compiles(_hour, "postgresql")
def _of_timestamp(element: Any, compiler: Any, **given: Any) -> str:
    of = compiler.process(element.clauses, **given)
    return f"to_char({of} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')"


@dataclass(slots=True)
class EndedInHour:
    """The runs that ended in an hour."""

    by_status: dict[str, int] = field(default_factory=dict)
    #: Of runs of a schedule that have started: seconds.
    lateness_sum: float = 0.0
    lateness_count: int = 0
    lateness_max: float | None = None

    @property
    def lateness_mean(self) -> float | None:
        """The mean lateness in seconds; None if no run has one."""
        return self.lateness_sum / self.lateness_count if self.lateness_count else None


def ended_by_hour(
    connection: Connection, limit: NameLimit, start: datetime
) -> Mapping[datetime, EndedInHour]:
    """Return what ended since a time, by the hour (UTC) in which it did; hours without a run are not there."""
    found: dict[datetime, EndedInHour] = {}
    for row in connection.execute(_statement(limit, start)):
        hour = datetime.strptime(row.hour, "%Y-%m-%d %H").replace(tzinfo=UTC)
        ended = found.setdefault(hour, EndedInHour())
        ended.by_status[row.status] = row.number
        if row.late_count:
            ended.lateness_sum += int(row.late_sum) / 1_000
            ended.lateness_count += row.late_count
            ended.lateness_max = max(ended.lateness_max or 0.0, row.late_max / 1_000)
    return found


def _statement(limit: NameLimit, start: datetime) -> Any:
    hour = cast(_hour(run.c.finished_at), String).label("hour")
    late = case(
        (_was_started(), func.coalesce(elapsed_ms(run.c.scheduled_for, run.c.started_at), 0))
    )
    statement = (
        select(
            hour,
            run.c.status,
            func.count().label("number"),
            func.count(late).label("late_count"),
            func.sum(late).label("late_sum"),
            func.max(late).label("late_max"),
        )
        .where(run.c.finished_at >= start, run.c.status != RunStatus.SKIPPED)
        .group_by(hour, run.c.status)
    )
    if limit.is_unlimited:
        return statement
    return statement.join(task, task.c.id == run.c.task_id).where(covers(limit, task.c.name))


def _was_started() -> ColumnElement[bool]:
    return (run.c.trigger == "schedule") & run.c.started_at.is_not(None)
