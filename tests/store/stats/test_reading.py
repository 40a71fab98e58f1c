"""Statistics, as they are read: runs by status and reason, quantiles, what is not kept, and what a key sees."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from rota.db import tables
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.fire_time import TICK
from rota.domain.holds.model import HeldFireTimes
from rota.domain.stats.badge import BadgeMetric
from rota.domain.stats.report import PERCENTS, Quantiles, Report, Tally, Waits
from rota.domain.stats.window import Window
from rota.store.stats import samples
from rota.store.stats.badges import read_badge
from rota.store.stats.chosen import ChosenTasks, begun_within
from rota.store.stats.overall import tallies_of_all
from rota.store.stats.reading import last_failure, read_report
from rota.store.stats.tallies import count_runs, tallies
from rota.store.tasks.retention import RemoveRuns
from tests.support.factories import BROKEN, DAY, HOUR, MINUTE, NOON, World, once
from tests.support.holds import end_hold, set_hold

SECOND = timedelta(seconds=1)
ONCE = {"max_attempts": 1}
MANUAL = {"type": "manual"}
HOURLY = {"type": "cron", "expression": "0 * * * *"}


def report(
    world: World, name: str = "t", begins_at: datetime = NOON, ends_at: datetime = NOON + DAY
) -> Report:
    chosen = ChosenTasks(id=world.task(name).id)
    return world.read(read_report, chosen, Window(begins_at, ends_at), world.now)


def of_all(world: World, **chosen: Any) -> Report:
    window = Window(NOON - DAY, NOON + DAY)
    return world.read(read_report, ChosenTasks(**chosen), window, world.now)


def run_for(world: World, seconds: Sequence[float], name: str = "t") -> None:
    """Let a task have a run of each duration."""
    for each in seconds:
        claimed = world.start(name)
        world.clock.advance(timedelta(seconds=each))
        world.succeed(claimed)


def test_runs_are_counted_by_status_and_reason_and_skipped_ones_by_their_fire_times(
    world: World,
) -> None:
    world.register(schedule=HOURLY, retry=ONCE)
    world.clock.advance(5 * HOUR)
    world.fire()  # four are misfires, and one runs
    world.end(world.claim()[0], BROKEN)
    world.succeed(world.start())

    found = report(world)

    assert found.by_status() == {"skipped": 4, "failed": 1, "succeeded": 1}
    assert found.by_reason() == {"misfire": 4, "error": 1}
    assert found.success_rate() == 0.5
    assert found.completeness().ratio == 1 / 5
    assert world.read(last_failure, world.task().id) == world.now


@settings(
    max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(st.integers(0, 30_000), min_size=1, max_size=12))
def test_quantiles_are_those_of_the_sorted_durations_by_nearest_rank(
    world: World, milliseconds: list[int]
) -> None:
    world.register(schedule=MANUAL)
    run_for(world, [each / 1_000 for each in milliseconds])

    with world.database.read() as connection:
        found = count_runs(connection, [tables.run.c.task_id == world.task().id]).duration
    world.delete()

    ranked = sorted(milliseconds)
    ranks = (-(-len(ranked) * percent // 100) for percent in (50, 95, 99))
    p50, p95, p99 = (timedelta(milliseconds=ranked[rank - 1]) for rank in ranks)
    assert found == Quantiles(len(ranked), p50, p95, p99)


def test_lateness_counts_from_the_fire_time_and_runs_by_hand_have_none(world: World) -> None:
    world.register()
    world.clock.advance(MINUTE)
    world.fire()
    world.clock.advance(3 * SECOND)
    world.succeed(world.claim()[0])
    run_for(world, [1])

    found = report(world)

    assert found.lateness == Quantiles(1, 3 * SECOND, 3 * SECOND, 3 * SECOND)
    assert found.duration.number == 2


def test_a_clock_that_was_set_back_makes_no_duration_negative(world: World) -> None:
    world.register(schedule=MANUAL)
    claimed = world.start()
    world.clock.set(NOON - SECOND)
    world.succeed(claimed)

    assert report(world, begins_at=NOON - HOUR, ends_at=NOON + HOUR).duration == Quantiles(
        1, timedelta(), timedelta(), timedelta()
    )


def test_runs_by_hand_and_pings_are_no_fire_times(world: World) -> None:
    world.register(schedule=MANUAL)
    run_for(world, [1, 2])

    found = report(world)

    assert found.by_status() == {"succeeded": 2}
    assert (found.completeness().due, found.completeness().ratio) == (0, None)


def test_what_the_schedule_leaves_out_does_not_make_it_incomplete(world: World) -> None:
    excluded = {"from": (NOON + 2 * MINUTE).isoformat(), "to": (NOON + 4 * MINUTE).isoformat()}
    world.register(schedule={"type": "interval", "every": 60, "exclude": [excluded]})
    for _ in range(5):
        world.clock.advance(MINUTE)
        world.fire()
        for claimed in world.claim():
            world.succeed(claimed)

    found = report(world, ends_at=world.now + TICK).completeness()

    assert (found.due, found.skipped, found.ratio) == (5, {"excluded": 2}, 1)


def test_removed_runs_are_reported_unless_they_are_older_than_the_window(world: World) -> None:
    world.register()
    for _ in range(3):
        world.clock.advance(MINUTE)
        world.fire()
        world.succeed(world.claim()[0])
    first, second, _ = world.runs()

    world.do(RemoveRuns((first.id,)))
    world.do(RemoveRuns((second.id,)))

    assert report(world).complete_since == second.scheduled_for + TICK
    assert report(world, begins_at=second.scheduled_for + TICK).complete_since is None
    assert of_all(world).complete_since == second.scheduled_for + TICK
    world.delete()
    assert of_all(world).complete_since is None


def test_a_span_that_was_removed_counts_with_its_end(world: World) -> None:
    world.register(schedule=HOURLY)
    world.clock.advance(5 * HOUR)
    world.fire()
    span = world.runs()[0]

    world.do(RemoveRuns((span.id,)))

    assert span.scheduled_until is not None
    assert report(world).complete_since == span.scheduled_until + TICK


def test_a_span_over_the_edge_with_another_schedule_is_reported_as_estimated(
    world: World,
) -> None:
    world.register(schedule=HOURLY)
    world.clock.advance(9 * HOUR)
    world.fire()  # eight misfires, from 13:00 to 20:00
    # It has as many in the span, but two of them after 17:00, and not four.
    six, two = ({"type": "cron", "expression": each} for each in ("*/10 13 * * *", "0 19,20 * * *"))
    other = {"type": "any_of", "schedules": [six, two]}
    world.register(schedule=other, on_conflict="update")

    inside = report(world, begins_at=NOON, ends_at=NOON + 10 * HOUR)
    over = report(world, begins_at=NOON + 5 * HOUR, ends_at=NOON + 10 * HOUR)

    assert (inside.exact, inside.completeness().missed) == (True, {"misfire": 8})
    assert (over.exact, over.completeness().missed) == (False, {"misfire": 4})


def test_a_long_pause_of_a_rule_with_many_fire_times_is_counted_by_arithmetic(world: World) -> None:
    world.register(schedule={"type": "interval", "every": 1})
    world.pause()
    world.clock.advance(300 * DAY)

    found = report(world, begins_at=world.now - 100 * DAY, ends_at=world.now)

    assert (found.exact, found.waiting) == (True, {Waits.PAUSED: 100 * 86_400})


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_a_rule_that_is_too_costly_to_count_is_not_reported_as_exact(world: World) -> None:
    world.register(schedule={"type": "cron", "expression": "* * * * * *"})
    world.pause()
    world.clock.advance(10 * DAY)

    found = report(world, ends_at=world.now)

    assert (found.exact, found.completeness().due > 0) == (False, True)


def test_of_more_tasks_than_are_counted_each_counts_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.store.stats.reading.MOST_COUNTED", 2)
    for name in ("a", "b", "c", "d"):
        world.register(name)
        world.pause(name)
    world.clock.advance(3 * MINUTE + SECOND)

    found = of_all(world)

    assert (found.exact, found.waiting) == (False, {Waits.PAUSED: 3 + 3 + 1 + 1})


def test_fire_times_in_a_hold_that_catches_up_wait_for_it_and_others_are_skipped(
    world: World,
) -> None:
    world.register()
    world.register("other")
    set_hold(world, name_prefix="t", fire_times=HeldFireTimes.CATCH_UP)
    world.clock.advance(3 * MINUTE)

    assert report(world, ends_at=NOON + HOUR).waiting == {Waits.HELD: 3}
    assert report(world, "other", ends_at=NOON + HOUR).waiting == {Waits.UNPLANNED: 3}
    assert world.read(read_badge, world.task(), BadgeMetric.STATE, world.now).message == "held"
    end_hold(world)
    badge = world.read(read_badge, world.task(), BadgeMetric.STATE, world.now)
    assert badge.message == "late"


def test_a_moved_fire_time_is_counted_at_its_new_time(world: World) -> None:
    world.register(schedule=HOURLY)
    world.register(schedule=HOURLY, next_fire=NOON + 90 * MINUTE, on_conflict="update")
    world.clock.advance(3 * HOUR)

    # That of 13:00 comes at 13:30; 14:00 and 15:00 are as the rule has them.
    assert report(world, ends_at=NOON + 80 * MINUTE).waiting == {}
    assert report(world, ends_at=NOON + 4 * HOUR).waiting == {Waits.UNPLANNED: 3}


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_indexes_find_the_runs_of_a_task_and_those_of_a_window(world: World) -> None:
    world.register()
    executed: list[tuple[str, Any]] = []
    engine = world.database._reading
    event.listen(engine, "before_cursor_execute", lambda *given: executed.append(given[2:4]))
    report(world)
    of_one = len(executed)
    of_all(world)

    with world.database.read() as connection:
        plans = [
            [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given)]
            for text, given in executed[:]
        ]

    scans = [step for plan in plans for step in plan if step.startswith("SCAN run")]
    few = ("ix_run_span", "ix_run_unfinished")
    assert [step for step in scans if not step.endswith(few)] == []
    assert not [step for plan in plans[:of_one] for step in plan if step == "SCAN task"]


def alike(found: Iterable[Tally]) -> dict[tuple[Any, ...], tuple[int, datetime | None]]:
    """Return the number of runs that are alike, and the end of the last one."""
    summed: dict[tuple[Any, ...], tuple[int, datetime | None]] = {}
    for status, reason, trigger, began, number, last in found:
        before, latest = summed.get((status, reason, trigger, began), (0, None))
        ends = [each for each in (latest, last) if each is not None]
        summed[status, reason, trigger, began] = (before + number, max(ends, default=None))
    return summed


@pytest.mark.parametrize("hours", [(0, 24), (1, 3), (2, 9), (-9, 1)])
def test_the_runs_of_all_tasks_are_counted_by_what_differs_as_by_reading_all(
    world: World, hours: tuple[int, int]
) -> None:
    for name in ("a", "b", "gone"):
        world.register(name, schedule=HOURLY, retry=ONCE, misfire_policy="run_all")
    for outcome in (None, BROKEN, None):
        world.clock.advance(HOUR)
        world.fire()
        for claimed in world.claim():
            world.end(claimed, outcome) if outcome else world.succeed(claimed)
    world.delete("gone")
    world.pause("a")
    world.clock.advance(3 * HOUR)
    world.resume("a")
    world.fire()  # a span of `paused`
    world.claim(limit=1)
    world.register("hand", schedule=MANUAL, overlap_policy="allow")
    world.succeed(world.start("hand"))
    world.run_now("hand", scheduled_for=world.now + MINUTE)
    window = Window(NOON + hours[0] * HOUR, NOON + hours[1] * HOUR)

    found = world.read(tallies_of_all, window)

    everything = begun_within(ChosenTasks(), window)
    assert alike(found) == alike(world.read(tallies, everything))


def test_of_very_many_runs_a_sample_is_read_and_reported_as_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register(schedule=MANUAL)
    run_for(world, range(1, 17))
    monkeypatch.setattr(samples, "MOST_READ", 15)
    monkeypatch.setattr(samples, "IN_A_SAMPLE", 8)

    found = of_all(world)

    drawn = sorted(
        run.finished_at - run.started_at
        for run in world.runs()
        if run.finished_at and run.started_at and run.id[-3:] < "800"
    )
    assert found.by_status() == {"succeeded": 16}
    assert found.duration.sampled
    assert found.duration.number == len(drawn)
    assert found.duration.p50 == (drawn[(len(drawn) - 1) // 2] if drawn else None)
    assert found.duration.p99 == (drawn[-1] if drawn else None)
    assert found.lateness == Quantiles(sampled=True)


@given(st.lists(st.integers(-5, 30_000), max_size=40))
def test_quantiles_of_a_sample_are_by_nearest_rank(milliseconds: list[int]) -> None:
    found = Quantiles.of_sample(milliseconds)

    ranked = sorted(max(each, 0) for each in milliseconds)
    for percent, value in zip(PERCENTS, found[1:4], strict=True):
        reached = [each for n, each in enumerate(ranked, 1) if 100 * n >= percent * len(ranked)]
        assert value == (timedelta(milliseconds=reached[0]) if reached else None)


def test_only_the_runs_of_the_chosen_tasks_are_counted(world: World) -> None:
    for count, (name, tags) in enumerate([("a", ["x"]), ("b", ["x", "y"]), ("c", ["y"])], 1):
        world.register(name, schedule=MANUAL, tags=tags)
        run_for(world, [1] * count, name)
    world.register("gone", schedule=once(NOON + DAY))
    run_for(world, [1], "gone")
    world.delete("gone")
    chosen: list[tuple[dict[str, Any], int]] = [
        ({}, 6),
        ({"names": ("a", "c")}, 4),
        ({"tags": ("x",)}, 3),
        ({"names": ("c",), "tags": ("x",)}, 0),
        ({"limit": NameLimit(("a", "b"))}, 3),
        ({"limit": NameLimit(("nobody",))}, 0),
        ({"limit": UNLIMITED, "names": ("absent",)}, 0),
    ]

    found = [of_all(world, **each).by_status().total() for each, _ in chosen]

    assert found == [number for _, number in chosen]
