"""Statistics of the runs of a window, read in one snapshot."""

from collections import Counter
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from rota.db.tables import removed_runs, run, task
from rota.db.types import spelled_out
from rota.domain.fire_time import TICK
from rota.domain.holds.held import Holds
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.calendar_use import with_no_days
from rota.domain.schedules.replanning.moved_fire_time import NextFire
from rota.domain.stats.fire_counts import (
    Number,
    SkippedSpan,
    Unplanned,
    due_unplanned,
    estimated,
    in_window,
)
from rota.domain.stats.report import Report, Tally, Waits
from rota.domain.stats.window import Window
from rota.domain.step_budget import limited_to
from rota.domain.tasks.definition import TaskStatus
from rota.store.definitions import read_definition
from rota.store.holds.reading import holds_that_matter
from rota.store.stats import samples
from rota.store.stats.chosen import ChosenTasks, begun_within, fired_within, over_the_edge
from rota.store.stats.overall import tallies_of_all
from rota.store.stats.tallies import Counted, count_runs, tallies

#: How many steps the counting of fire times that have no run of their own takes, and for how many tasks and spans.
MOST_STEPS = 100_000
MOST_COUNTED = 2_000

_SPAN = select(
    run.c.scheduled_for,
    run.c.scheduled_until,
    run.c.count.label("number"),
    run.c.status,
    run.c.reason,
    run.c.trigger,
    run.c.created_at,
    run.c.finished_at,
    task.c.name,
    task.c.definition,
    task.c.anchored_at,
).join(task, task.c.id == run.c.task_id)
_WAITING = select(
    task.c.name,
    task.c.definition,
    task.c.anchored_at,
    task.c.next_fire_at,
    task.c.overrides_at,
    task.c.moved_to_at,
    task.c.fired,
    task.c.status,
)
_LAST_FAILURE = func.max(run.c.finished_at)


def read_report(
    connection: Connection, tasks: ChosenTasks, window: Window, now: datetime
) -> Report:
    """Return the statistics of tasks; what takes too long to count is estimated (`exact` is false then)."""
    counted, duration, late = _count(connection, tasks, window)
    with limited_to(MOST_STEPS):
        spans, spans_exact = _over_the_edge(connection, tasks, window)
        waiting, waiting_exact = _waiting(connection, tasks, window, now)
    return Report(
        window=window,
        tallies=(*counted, *spans),
        waiting=waiting,
        duration=duration,
        lateness=late,
        exact=spans_exact and waiting_exact,
        complete_since=_complete_since(connection, tasks, window),
    )


def _count(connection: Connection, tasks: ChosenTasks, window: Window) -> Counted:
    """Return what the runs are; where very many have begun, their times are those of a sample."""
    within = begun_within(tasks, window)
    if samples.are_many(connection, fired_within(tasks, window)):
        found = tallies_of_all(connection, window) if tasks.are_all else tallies(connection, within)
        began = sum(each.number for each in found if each.began)
        if began > samples.MOST_READ:
            return Counted(found, *samples.sample(connection, within, window, began))
    return count_runs(connection, within)


def last_failure(connection: Connection, task_id: Id) -> datetime | None:
    """Return when a run of a task failed last, of those that are kept."""
    failed = run.c.status == spelled_out(RunStatus.FAILED)
    found: datetime | None = connection.execute(
        select(_LAST_FAILURE).where(run.c.task_id == task_id, failed)
    ).scalar_one()
    return found


def _over_the_edge(
    connection: Connection, tasks: ChosenTasks, window: Window
) -> tuple[list[Tally], bool]:
    """Return spans that reach over an edge of the window as tallies of their part in it, and whether all are exact."""
    found: list[Tally] = []
    exact = True
    listing = _SPAN.where(*over_the_edge(tasks, window))
    for place, row in enumerate(connection.execute(listing)):
        number = _part_of(row, window, counted=place < MOST_COUNTED)
        exact = exact and number.exact
        if number.value:
            found.append(
                Tally(
                    RunStatus(row.status),
                    row.reason,
                    Trigger(row.trigger),
                    began=False,
                    number=number.value,
                    last=row.finished_at,
                )
            )
    return found, exact


def _part_of(row: Any, window: Window, *, counted: bool) -> Number:
    span = SkippedSpan(
        first=row.scheduled_for,
        last=row.scheduled_until,
        count=row.number,
        created_at=row.created_at,
    )
    if not counted:
        return estimated(span, window)
    # Which fire times are left out, and so the days of calendars, does not matter here.
    schedule = with_no_days(read_definition(row.definition).schedule)
    return in_window(span, schedule, Anchor(row.anchored_at, row.name), window)


def _waiting(
    connection: Connection, tasks: ChosenTasks, window: Window, now: datetime
) -> tuple[Counter[Waits], bool]:
    """Return how many fire times have come that have no run yet, and whether all of them are counted."""
    have_some = (
        *tasks.conditions(),
        task.c.status.in_([spelled_out(TaskStatus.ACTIVE), spelled_out(TaskStatus.PAUSED)]),
        task.c.next_fire_at <= min(now, window.last),
    )
    holds = holds_that_matter(connection)
    waiting: Counter[Waits] = Counter()
    exact = True
    rows = connection.execute(_WAITING.where(*have_some).limit(MOST_COUNTED)).all()
    for row in rows:
        number = _due(row, window, now)
        waiting[_why(row, holds, now)] += number.value
        exact = exact and number.exact
    if len(rows) < MOST_COUNTED:
        return waiting, exact
    total = connection.execute(select(func.count()).select_from(task).where(*have_some))
    # Of each of the others at least one.
    waiting[_why(rows[-1], holds, now)] += total.scalar_one() - len(rows)
    return waiting, False


def _due(row: Any, window: Window, now: datetime) -> Number:
    waits = Unplanned(
        schedule=with_no_days(read_definition(row.definition).schedule),
        anchor=Anchor(row.anchored_at, row.name),
        next_fire=NextFire.of(row.next_fire_at, row.overrides_at, row.moved_to_at),
        fired=row.fired,
    )
    return due_unplanned(waits, window, now)


def _why(row: Any, holds: Holds, now: datetime) -> Waits:
    if row.status == TaskStatus.PAUSED:
        return Waits.PAUSED
    definition = read_definition(row.definition) if holds else None
    held = definition and holds.defers(row.name, definition.queue, definition.tags, now)
    return Waits.HELD if held else Waits.UNPLANNED


def _complete_since(connection: Connection, tasks: ChosenTasks, window: Window) -> datetime | None:
    """Return from when on all runs of the window are kept; None: all of them are."""
    wanted = select(func.max(removed_runs.c.until_at)).where(
        tasks.has(removed_runs.c.task_id), removed_runs.c.until_at >= window.begins_at
    )
    until: datetime | None = connection.execute(wanted).scalar_one()
    return None if until is None else min(until + TICK, window.ends_at)
