"""Fire times that are not run are one row for each reason and span; a resumption catches up as requested."""

from typing import Any

import pytest

from rota.domain.runs.planning import plan
from rota.store.scheduling.due import due_tasks
from rota.store.scheduling.fire import Fire
from rota.store.tasks.retention import RemoveRuns
from tests.support.factories import DAY, HOUR, MINUTE, NOON, World

MINUTELY = {"type": "cron", "expression": "* * * * *"}


def _spans(world: World) -> list[tuple[str, str | None, int]]:
    return [(str(run.status), run.reason, run.count) for run in world.runs()]


def _fire_until(world: World, minutes: int) -> None:
    for _ in range(minutes):
        world.clock.advance(MINUTE)
        world.fire()
        for claimed in world.claim():
            world.succeed(claimed)


def test_fire_times_excluded_in_a_row_are_one_run(world: World) -> None:
    excluded = {"from": (NOON + 2 * MINUTE).isoformat(), "to": (NOON + 6 * MINUTE).isoformat()}
    world.register(schedule={"type": "interval", "every": 60, "exclude": [excluded]})

    _fire_until(world, 7)

    assert _spans(world) == [
        ("succeeded", None, 1),
        ("skipped", "excluded", 4),
        ("succeeded", None, 1),
        ("succeeded", None, 1),
    ]
    gap = world.runs()[1]
    assert (gap.scheduled_for, gap.scheduled_until) == (NOON + 2 * MINUTE, NOON + 5 * MINUTE)


def test_a_span_that_was_removed_meanwhile_is_begun_anew(world: World) -> None:
    excluded = {"from": NOON.isoformat(), "to": (NOON + HOUR).isoformat()}
    world.register(schedule={"type": "interval", "every": 60, "exclude": [excluded]})
    _fire_until(world, 2)

    world.do(RemoveRuns((world.runs()[0].id,)))
    _fire_until(world, 2)

    assert _spans(world) == [("skipped", "excluded", 2)]


def test_a_schedule_that_starts_anew_adds_to_no_old_span(world: World) -> None:
    excluded = {"from": NOON.isoformat(), "to": (NOON + HOUR).isoformat()}
    schedule: dict[str, Any] = {"type": "interval", "every": 60, "exclude": [excluded]}
    world.register(schedule=schedule)
    _fire_until(world, 2)

    world.register(schedule=schedule | {"every": 120}, on_conflict="update")
    _fire_until(world, 2)

    assert _spans(world) == [("skipped", "excluded", 2), ("skipped", "excluded", 1)]


@pytest.mark.parametrize(
    ("catch_up", "spans"),
    [
        ("none", [("skipped", "paused", 3)]),
        ("once", [("skipped", "paused", 2), ("queued", None, 1)]),
        ("all", [("queued", None, 1), ("blocked", None, 1), ("blocked", None, 1)]),
    ],
)
def test_a_resumption_catches_up_as_requested(
    world: World, catch_up: str, spans: list[tuple[str, str | None, int]]
) -> None:
    world.register()
    world.pause()
    world.clock.advance(3 * MINUTE)

    resumed = world.resume(catch_up=catch_up)

    assert _spans(world) == spans
    assert resumed == world.task()
    assert resumed.next_fire_at == NOON + 4 * MINUTE


def test_a_resumption_after_months_leaves_the_rest_of_the_gap_to_the_firing_passes(
    world: World,
) -> None:
    world.register(schedule=MINUTELY)
    world.pause()
    world.clock.advance(30 * DAY)

    world.resume(catch_up="once")
    at_first = world.runs()
    passes = 0
    while due := world.read(due_tasks, world.now, 10):
        for task in due:
            world.do(Fire(task, plan(task, world.now)))
        passes += 1

    assert sum(run.count for run in at_first) < 1_100
    assert 0 < passes < 10
    assert _spans(world) == [("skipped", "paused", 30 * 24 * 60 - 1), ("queued", None, 1)]
    assert world.task().next_fire_at == world.now + MINUTE


def test_a_task_whose_fire_times_ended_during_its_pause_is_completed_by_the_resumption(
    world: World,
) -> None:
    world.register(schedule={"type": "interval", "every": 60, "max_runs": 1})
    world.pause()
    world.clock.advance(5 * MINUTE)

    resumed = world.resume(catch_up="once")

    assert resumed.status == "completed"
    assert _spans(world) == [("skipped", "paused", 4), ("queued", None, 1)]


def test_max_runs_counts_over_restarts_and_completes(world: World) -> None:
    world.register(schedule={"type": "interval", "every": 60, "max_runs": 3})

    _fire_until(world, 5)

    assert _spans(world) == [("succeeded", None, 1)] * 3
    assert (world.task().status, world.task().fired) == ("completed", 3)


def test_a_new_schedule_counts_from_nought(world: World) -> None:
    world.register(schedule={"type": "interval", "every": 60, "max_runs": 1})
    _fire_until(world, 1)

    changed = world.register(
        schedule={"type": "interval", "every": 60, "max_runs": 2}, on_conflict="update"
    )

    assert (changed.status, changed.fired) == ("active", 0)
