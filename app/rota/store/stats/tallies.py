"""Runs that are alike, counted, and their durations and lateness as quantiles: each is one statement."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, case, func, literal_column, select

from rota.db.expressions.elapsed import elapsed_ms
from rota.db.tables import run
from rota.db.types import spelled_out
from rota.domain.runs.status import FINAL, RunStatus, Trigger
from rota.domain.stats.report import PERCENTS, Quantiles, Tally

Conditions = Sequence[ColumnElement[bool]]

_BEGAN = run.c.first_started_at.is_not(None)
ALIKE = (run.c.status, run.c.reason, run.c.trigger, _BEGAN)
_TALLIES = select(*ALIKE, func.sum(run.c.count), func.max(run.c.finished_at)).group_by(*ALIKE)
_RAN = run.c.status.in_([spelled_out(each) for each in sorted(FINAL - {RunStatus.SKIPPED})])


def tallies(connection: Connection, conditions: Conditions) -> list[Tally]:
    """Return how many runs are alike."""
    return [
        Tally(RunStatus(status), reason, Trigger(trigger), bool(began), int(number), last)
        for status, reason, trigger, began, number, last in connection.execute(
            _TALLIES.where(*conditions)
        )
    ]


def durations(connection: Connection, conditions: Conditions) -> Quantiles:
    """Return how long the last attempts of runs took that have ended."""
    taken = elapsed_ms(run.c.started_at, run.c.finished_at)
    return _quantiles(connection, taken, (*conditions, _RAN, run.c.started_at.is_not(None)))


def lateness(connection: Connection, conditions: Conditions) -> Quantiles:
    """Return how long after their fire times runs of schedules were started first."""
    late = elapsed_ms(run.c.scheduled_for, run.c.first_started_at)
    scheduled = run.c.trigger == spelled_out(Trigger.SCHEDULE)
    return _quantiles(connection, late, (*conditions, scheduled, _BEGAN))


def _quantiles(connection: Connection, value: ColumnElement[int], which: Conditions) -> Quantiles:
    """Return the quantiles of a number of milliseconds, by nearest rank: how often each occurs is summed up."""
    often = (
        select(value.label("value"), func.count().label("number"))
        .where(*which)
        .group_by(literal_column("1"))
        .subquery()
    )
    ranked = select(
        often.c.value,
        func.sum(often.c.number).over(order_by=often.c.value).label("rank"),
        func.sum(often.c.number).over().label("total"),
    ).subquery()
    hundred = literal_column("100", Integer)
    reached: list[Any] = [
        func.min(case((ranked.c.rank * hundred >= ranked.c.total * percent, ranked.c.value)))
        for percent in (literal_column(str(rank), Integer) for rank in PERCENTS)
    ]
    total, *values = connection.execute(select(func.max(ranked.c.total), *reached)).one()
    p50, p95, p99 = map(_to_duration, values)
    return Quantiles(int(total or 0), p50, p95, p99)


def _to_duration(milliseconds: int | None) -> timedelta | None:
    # Negative if the clock was set back: shown as 0, as those of a run.
    return None if milliseconds is None else timedelta(milliseconds=max(int(milliseconds), 0))
