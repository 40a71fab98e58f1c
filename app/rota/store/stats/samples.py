"""Durations and lateness of very many runs, from a sample of them: those whose ids end with certain digits.

The last digits of an id are random, so that each run is as likely in the sample as any other.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, String, cast, func, select

from rota.db.expressions.elapsed import elapsed_ms
from rota.db.tables import run
from rota.domain.runs.status import FINAL, RunStatus, Trigger
from rota.domain.stats.report import Quantiles
from rota.domain.stats.window import Window

#: Up to how many runs all are read, and about how many of more are.
MOST_READ, IN_A_SAMPLE = 100_000, 20_000
_DIGITS = 3
_PARTS: int = 16**_DIGITS
_RAN = FINAL - {RunStatus.SKIPPED}
_TIMES = select(
    run.c.status,
    run.c.trigger,
    elapsed_ms(run.c.started_at, run.c.finished_at),
    elapsed_ms(run.c.scheduled_for, run.c.first_started_at),
)


class Sample(NamedTuple):
    """The quantiles of a sample."""

    duration: Quantiles
    lateness: Quantiles


def are_many(connection: Connection, which: Sequence[ColumnElement[bool]]) -> bool:
    """Return whether more than MOST_READ runs meet the conditions `which`."""
    first = select(run.c.task_id).where(*which).limit(MOST_READ + 1).subquery()
    found: int = connection.execute(select(func.count()).select_from(first)).scalar_one()
    return found > MOST_READ


def sample(
    connection: Connection, which: Sequence[ColumnElement[bool]], window: Window, runs: int
) -> Sample:
    """Return the quantiles of about IN_A_SAMPLE of the `runs` runs that meet the conditions `which`."""
    wanted = _TIMES.where(run.c.id.in_(_ids(window, runs)), *which)
    durations: list[int] = []
    lateness: list[int] = []
    for status, trigger, taken, late in connection.execute(wanted):
        if taken is not None and status in _RAN:
            durations.append(int(taken))
        if late is not None and trigger == Trigger.SCHEDULE:
            lateness.append(int(late))
    return Sample(Quantiles.of_sample(durations), Quantiles.of_sample(lateness))


def _ids(window: Window, runs: int) -> Any:
    """Return the query for the ids in the sample, which an index serves alone."""
    drawn = run.alias("drawn")
    parts = max(_PARTS * IN_A_SAMPLE // runs, 1)
    text = cast(drawn.c.id, String)
    last = func.substr(text, func.length(text) - (_DIGITS - 1))
    return select(drawn.c.id).where(
        drawn.c.scheduled_for >= window.begins_at,
        drawn.c.scheduled_for < window.ends_at,
        last < f"{parts:0{_DIGITS}x}",
    )
