"""Completeness over random histories: it equals an independent count, for any window and on both databases.

The fire times are stepped through by rules of this file's own, and looked up one by one in the rows of the runs. The
histories are made by the planner and the store, with a clock that is set.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from rota.db import tables
from rota.domain.holds.model import HeldFireTimes
from rota.domain.runs.model import Run
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.stats.report import Report
from rota.domain.stats.window import Window
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.store.holds.lasting import lasting_holds
from rota.store.scheduling.held_tasks import EndDeferral
from rota.store.stats.chosen import ChosenTasks
from rota.store.stats.reading import read_report
from rota.store.tasks.run_commands import CancelRun
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World
from tests.support.holds import end_hold, set_hold
from tests.support.torture import Part, torture

SECOND = timedelta(seconds=1)
EXCLUDED = [{"from": "2026-03-10T12:20:00Z", "to": "2026-03-10T13:25:00Z"}]
Naive = Callable[[datetime], Iterable[datetime]]


def every(minutes: int) -> Naive:
    """Return the fire times of an interval from NOON on, up to a time."""

    def times(until: datetime) -> Iterable[datetime]:
        number = int((until - NOON) / (minutes * MINUTE))
        return (NOON + step * minutes * MINUTE for step in range(1, number + 1))

    return times


def on_the_clock(minutes: int) -> Naive:
    """Return the minutes after NOON that are divisible by a number, up to a time."""

    def times(until: datetime) -> Iterable[datetime]:
        at = NOON + MINUTE
        while at <= until:
            if at.minute % minutes == 0:
                yield at
            at += MINUTE

    return times


def either(*rules: Naive) -> Naive:
    return lambda until: sorted({at for rule in rules for at in rule(until)})


TEN: dict[str, Any] = {"type": "cron", "expression": "*/10 * * * *"}
SCHEDULES: list[tuple[dict[str, Any], Naive]] = [
    ({"type": "interval", "every": "10m"}, every(10)),
    ({"type": "interval", "every": "7m", "exclude": EXCLUDED}, every(7)),
    (TEN, on_the_clock(10)),
    (TEN | {"exclude": EXCLUDED}, on_the_clock(10)),
    (
        {"type": "any_of", "schedules": [TEN, {"type": "interval", "every": "25m"}]},
        either(on_the_clock(10), every(25)),
    ),
]
POLICIES: list[dict[str, Any]] = [
    {"misfire_policy": "run_once", "overlap_policy": "skip"},
    {"misfire_policy": "run_all", "overlap_policy": "buffer"},
    {"misfire_policy": "run_all", "overlap_policy": "replace"},
    {"misfire_policy": "skip", "misfire_grace": 60, "overlap_policy": "allow"},
    {"misfire_policy": "run_once", "misfire_grace": 1800, "overlap_policy": "skip"},
]
STEPS = st.lists(
    st.sampled_from(
        [
            *("fire", "fire", "fire", "work", "work", "fail", "begin", "cancel", "by hand"),
            *("late", "outage", "down", "pause", "resume", "resume all", "edit"),
            *("hold and skip", "hold and catch up", "end hold"),
        ]
    ),
    min_size=2,
    max_size=12,
)
#: How long the service does nothing; after the last of them it is not back yet.
AWAY = {"late": 33 * MINUTE, "outage": 5 * HOUR, "down": 47 * MINUTE}
#: Of a window: its beginning in minutes after NOON, and its length in minutes.
WINDOWS = st.lists(
    st.tuples(st.integers(-20, 400), st.integers(1, 500)), min_size=1, max_size=4, unique=True
)


def step(world: World, which: str) -> None:
    """Do something to the task, or let some time pass if that cannot be done to it."""
    task = world.task()
    match which, task.status:
        case "fire", TaskStatus.ACTIVE if task.next_fire_at is not None:
            world.clock.set(max(task.next_fire_at, world.now))
            world.fire()
        case "late" | "outage" | "down", _:
            world.clock.advance(AWAY[which])
            if which != "down":
                world.fire()
        case "work" | "fail" | "begin" | "cancel", _:
            work(world, which)
        case "by hand" | "pause" | "resume" | "resume all" | "edit", _:
            verb(world, which, task)
        case "hold and skip" | "hold and catch up" | "end hold", _:
            hold(world, which)
        case _:
            world.clock.advance(MINUTE)


def work(world: World, which: str) -> None:
    """Begin a run, or end it as well; or cancel one."""
    if which == "cancel":
        for run in unfinished(world)[:1]:
            world.do(CancelRun(run.id))
        return
    for claimed in world.claim(1):
        world.clock.advance(SECOND)
        if which == "work":
            world.succeed(claimed)
        elif which == "fail":
            world.end(claimed, BROKEN)


def verb(world: World, which: str, task: Task) -> None:
    """Do what a client may do to a task in its status."""
    match which, task.status:
        case "by hand", TaskStatus.ACTIVE if not unfinished(world):
            world.run_now()
        case "pause", TaskStatus.ACTIVE:
            world.pause()
        case "resume" | "resume all", TaskStatus.PAUSED:
            world.clock.advance(12 * MINUTE)
            world.resume(catch_up="all" if which == "resume all" else "none")
        case "edit", _:
            of_now = task.definition.model_dump()
            world.register(**of_now | {"priority": of_now["priority"] + 1}, on_conflict="update")
        case _:
            world.clock.advance(MINUTE)


def hold(world: World, which: str) -> None:
    """Set a hold or end it, and let those tasks fire that are not deferred any more, as the firing thread does."""
    lasts = bool(world.read(lasting_holds, world.now))
    if which != "end hold":
        fire_times = HeldFireTimes.SKIP if which == "hold and skip" else HeldFireTimes.CATCH_UP
        set_hold(world, fire_times=fire_times)
    elif lasts:
        world.clock.advance(17 * MINUTE)
        end_hold(world)
    world.do(EndDeferral((world.task().id,)))


def unfinished(world: World) -> list[Run]:
    return [run for run in world.runs() if not run.status.final]


def fate(world: World, runs: list[Run], at: datetime) -> tuple[str, str]:
    """Return the outcome of a fire time, by the only row that has it; without one it waits."""
    rows = [
        run for run in runs if run.scheduled_for <= at <= (run.scheduled_until or run.scheduled_for)
    ]
    assert len(rows) <= 1, rows
    if not rows:
        return ("pending", waits_for(world))
    row = rows[0]
    if row.status is RunStatus.SKIPPED:
        missed = row.reason in {"misfire", "too_late"}
        return ("missed" if missed else "skipped", str(row.reason))
    if not row.status.final:
        return ("pending", str(row.status))
    return ("ran", str(row.status)) if row.first_started_at else ("cancelled", "")


def waits_for(world: World) -> str:
    if world.task().status is TaskStatus.PAUSED:
        return "paused"
    holds = world.read(lasting_holds, world.now)
    catches_up = any(each.fire_times is HeldFireTimes.CATCH_UP for each in holds)
    return "held" if catches_up else "unplanned"


def counted(report: Report) -> Counter[tuple[str, str]]:
    found = report.completeness()
    kinds = {
        "ran": found.ran,
        "skipped": found.skipped,
        "missed": found.missed,
        "pending": found.pending,
    }
    return Counter(
        {("cancelled", ""): found.cancelled}
        | {(kind, str(key)): number for kind, by in kinds.items() for key, number in by.items()}
    )


HISTORIES: dict[str, Any] = {
    "which": st.sampled_from(range(len(SCHEDULES))),
    "policy": st.sampled_from(range(len(POLICIES))),
    "steps": STEPS,
    "windows": WINDOWS,
}
_SHORT = settings(
    max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True
)


@given(**HISTORIES)
@example(which=0, policy=0, steps=["fire", "work", "outage", "pause", "down"], windows=[(30, 100)])
@example(which=3, policy=1, steps=["outage", "pause", "late", "resume", "begin"], windows=[(9, 45)])
@example(which=4, policy=3, steps=["outage", "cancel", "work", "edit", "late"], windows=[(33, 200)])
@example(
    which=0,
    policy=1,
    steps=["fire", "hold and catch up", "outage", "down", "end hold", "hold and skip", "late"],
    windows=[(40, 60), (200, 100)],
)
@_SHORT
def test_completeness_is_the_count_of_the_outcomes_of_the_fire_times(
    world: World, which: int, policy: int, steps: list[str], windows: list[tuple[int, int]]
) -> None:
    live(world, which, policy, steps, windows)


@torture(Part.HISTORIES)
@pytest.mark.timeout(900)
@given(**HISTORIES)
@settings(_SHORT, max_examples=150)
def test_completeness_is_that_count_over_many_histories(
    world: World, which: int, policy: int, steps: list[str], windows: list[tuple[int, int]]
) -> None:
    live(world, which, policy, steps, windows)


def live(
    world: World, which: int, policy: int, steps: list[str], windows: list[tuple[int, int]]
) -> None:
    """Let a task have a history, and count the outcomes of its fire times in each window."""
    schedule, naive = SCHEDULES[which]
    world.clock.set(NOON)
    world.register(schedule=schedule, retry={"max_attempts": 1}, **POLICIES[policy])
    try:
        for each in steps:
            step(world, each)
        for minutes, length in windows:
            check(world, naive, NOON + minutes * MINUTE, NOON + (minutes + length) * MINUTE)
        check(world, naive, NOON, world.now)
    finally:
        world.delete()
        with world.transaction() as tx:  # they would hold the next history
            tx.connection.execute(delete(tables.hold))


def check(world: World, naive: Naive, begins_at: datetime, ends_at: datetime) -> None:
    runs = [run for run in world.runs() if run.trigger is Trigger.SCHEDULE]
    window = Window(begins_at, ends_at)
    times = [at for at in naive(world.now) if begins_at <= at < ends_at]
    expected = Counter(fate(world, runs, at) for at in times)

    found = world.read(read_report, ChosenTasks(id=world.task().id), window, world.now)

    assert (found.exact, found.complete_since) == (True, None)
    assert +counted(found) == expected
    assert found.completeness().due == len(times)
    of_all = world.read(read_report, ChosenTasks(), window, world.now)
    assert sorted(of_all.tallies, key=str) == sorted(found.tallies, key=str)
    assert replace(of_all, tallies=found.tallies) == found
