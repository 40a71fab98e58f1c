"""Runs that are alike, counted, and their durations and lateness as quantiles: one statement reads each run once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Integer,
    Subquery,
    case,
    func,
    literal_column,
    select,
    true,
)

from rota.db.expressions.elapsed import elapsed_ms
from rota.db.tables import run
from rota.db.types import spelled_out
from rota.domain.runs.status import FINAL, RunStatus, Trigger
from rota.domain.stats.report import PERCENTS, Quantiles, Tally

Conditions = Sequence[ColumnElement[bool]]

_BEGAN = run.c.first_started_at.is_not(None)
ALIKE = (run.c.status, run.c.reason, run.c.trigger, _BEGAN.label("began"))
_TALLIES = select(*ALIKE, func.sum(run.c.count), func.max(run.c.finished_at)).group_by(*ALIKE)
_RAN = run.c.status.in_([spelled_out(each) for each in sorted(FINAL - {RunStatus.SKIPPED})])
_SCHEDULED = run.c.trigger == spelled_out(Trigger.SCHEDULE)
_RUNS = select(
    *ALIKE,
    run.c.count.label("number"),
    run.c.finished_at,
    # Of the last attempts of runs that have ended.
    case(
        (_RAN & run.c.started_at.is_not(None), elapsed_ms(run.c.started_at, run.c.finished_at))
    ).label("duration"),
    # Of runs of schedules, until they were started first.
    case((_SCHEDULED & _BEGAN, elapsed_ms(run.c.scheduled_for, run.c.first_started_at))).label(
        "lateness"
    ),
)
_OF_A_TALLY: Final = 6


class Counted(NamedTuple):
    """How many runs are alike, how long they took, and how late they were."""

    tallies: Sequence[Tally]
    duration: Quantiles
    lateness: Quantiles


def tallies(connection: Connection, conditions: Conditions) -> list[Tally]:
    """Return how many of the runs that meet the conditions are alike."""
    return list(map(_to_tally, connection.execute(_TALLIES.where(*conditions))))


def count_runs(connection: Connection, conditions: Conditions) -> Counted:
    """Return how many of the runs that meet the conditions are alike, and the quantiles of their times."""
    runs = _RUNS.where(*conditions).cte("counted")
    alike = [runs.c[each.name] for each in ALIKE]
    tallied = (
        select(*alike, func.sum(runs.c.number), func.max(runs.c.finished_at))
        .group_by(*alike)
        .subquery("tallied")
    )
    taken, late = _quantiles(runs, "duration"), _quantiles(runs, "lateness")
    together = taken.join(late, true()).outerjoin(tallied, true())
    rows = connection.execute(select(tallied, taken, late).select_from(together)).all()
    quantiles = rows[0][_OF_A_TALLY:]
    middle = len(quantiles) // 2
    return Counted(
        [_to_tally(row[:_OF_A_TALLY]) for row in rows if row.status is not None],
        _to_quantiles(quantiles[:middle]),
        _to_quantiles(quantiles[middle:]),
    )


def _quantiles(runs: CTE, name: str) -> Subquery:
    """Return the query for the number and the quantiles of a column of milliseconds, by nearest rank.

    How often each value occurs is summed up.
    """
    value = runs.c[name]
    often = (
        select(value.label("value"), func.count().label("number"))
        .where(value.is_not(None))
        .group_by(value)
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
    return select(func.max(ranked.c.total), *reached).subquery(name)


def _to_tally(row: Any) -> Tally:
    status, reason, trigger, began, number, last = row
    return Tally(RunStatus(status), reason, Trigger(trigger), bool(began), int(number), last)


def _to_quantiles(row: Any) -> Quantiles:
    total, *values = row
    p50, p95, p99 = map(_to_duration, values)
    return Quantiles(int(total or 0), p50, p95, p99)


def _to_duration(milliseconds: int | None) -> timedelta | None:
    # Negative if the clock was set back: shown as 0, as those of a run.
    return None if milliseconds is None else timedelta(milliseconds=max(int(milliseconds), 0))
