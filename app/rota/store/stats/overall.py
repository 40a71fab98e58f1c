"""The runs of all tasks in a window, counted without reading most of their rows.

Nearly all runs of a large database are of a fire time, and have succeeded. Those that differ are found by the indexes
of their status and trigger; of all there are, the index of fire times gives the number, and so that of the others.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from rota.db.planning import implied, unindexed
from rota.db.tables import run, task
from rota.db.types import spelled_out
from rota.domain.runs.status import FINAL, RunStatus, Trigger
from rota.domain.stats.report import Tally
from rota.domain.stats.window import Window
from rota.store.stats.chosen import ChosenTasks, over_the_end
from rota.store.stats.tallies import ALIKE

_SUCCEEDED = spelled_out(RunStatus.SUCCEEDED)
_SCHEDULE = spelled_out(Trigger.SCHEDULE)
_UNSUCCESSFUL = run.c.status.in_(
    [spelled_out(each) for each in sorted(FINAL - {RunStatus.SUCCEEDED})]
)
_BY_OTHERS = (
    implied(run.c.trigger != _SCHEDULE),
    run.c.trigger.in_([spelled_out(each) for each in sorted(set(Trigger) - {Trigger.SCHEDULE})]),
)
_DELETED = select(task.c.id).where(task.c.deleted_at.is_not(None))
_ALL = ChosenTasks()


def tallies_of_all(connection: Connection, window: Window) -> list[Tally]:
    """Return how many runs of all tasks are alike, as `tallies` does."""
    differing = 0
    found: list[Tally] = []
    for which in _differing(window):
        for status, reason, trigger, began, is_over, rows, number, last in connection.execute(
            _differing_runs(which, window)
        ):
            differing += rows
            if not is_over:
                found.append(
                    Tally(
                        RunStatus(status), reason, Trigger(trigger), bool(began), int(number), last
                    )
                )
    others = _number(connection, window) - differing
    return [*found, _others(connection, window, others)] if others else found


def _within(window: Window, column: ColumnElement[Any]) -> tuple[ColumnElement[bool], ...]:
    return column >= window.begins_at, column < window.ends_at


def _differing(window: Window) -> Iterator[Sequence[ColumnElement[bool]]]:
    """Yield the conditions of runs that have not succeeded, or are of no fire time; no run meets two of them."""
    within = _within(window, run.c.scheduled_for)
    yield _UNSUCCESSFUL, *within
    yield run.c.finished_at.is_(None), *_within(window, unindexed(run.c.scheduled_for))
    yield run.c.status == _SUCCEEDED, *_BY_OTHERS, *within


def _differing_runs(which: Sequence[ColumnElement[bool]], window: Window) -> Any:
    is_over = func.coalesce(over_the_end(window), False)  # an argument of SQL
    alike = (*ALIKE, is_over.label("is_over"))
    counted = (func.count(), func.sum(run.c.count), func.max(run.c.finished_at))
    return select(*alike, *counted).where(*which, _ALL.has(run.c.task_id)).group_by(*alike)


def _number(connection: Connection, window: Window) -> int:
    """Return how many runs there are: all, without those of tasks that are being deleted."""
    counted = select(func.count()).select_from(run).where(*_within(window, run.c.scheduled_for))
    of_deleted = counted.where(run.c.task_id.in_(_DELETED))
    statement = select(counted.scalar_subquery() - of_deleted.scalar_subquery())
    return int(connection.execute(statement).scalar_one())


def _others(connection: Connection, window: Window, number: int) -> Tally:
    """Return the tally of the runs of fire times that have succeeded."""
    latest = (
        select(run.c.finished_at)
        .where(
            run.c.finished_at.is_not(None),
            run.c.status == _SUCCEEDED,
            run.c.trigger == _SCHEDULE,
            *_within(window, unindexed(run.c.scheduled_for)),
            _ALL.has(run.c.task_id),
        )
        .order_by(run.c.finished_at.desc())
        .limit(1)
    )
    last: datetime | None = connection.execute(latest).scalar_one_or_none()
    return Tally(RunStatus.SUCCEEDED, None, Trigger.SCHEDULE, began=True, number=number, last=last)
