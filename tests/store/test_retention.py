"""History beyond what a task keeps is removed; the last success stays."""

from datetime import timedelta
from uuid import UUID

import pytest

from app.db import tables
from app.domain.policies import RetryPolicy
from app.domain.runs import LogLine
from app.store.retention import RemoveRuns, beyond_age, beyond_count
from tests.factories import BROKEN, DAY, HOUR, MINUTE, NOON, World

LAST = RetryPolicy(max_attempts=1)


def _finished(world: World, *, succeeds: bool, name: str = "t") -> UUID:
    """Make a finished run, a minute later than the last."""
    world.clock.advance(MINUTE)
    claimed = world.start(name)
    world.succeed(claimed) if succeeds else world.end(claimed, BROKEN, retry=LAST)
    return claimed.id


@pytest.fixture
def keeping(world: World) -> World:
    """A world whose task `t` keeps two runs, for an hour."""
    world.register(
        schedule={"type": "manual"},
        overlap_policy="allow",
        retention={"runs": 2, "age": "1h"},
    )
    return world


def _surplus(world: World, limit: int = 99) -> list[UUID]:
    return world.read(beyond_count, [world.task().id], limit)


def test_the_newest_runs_are_kept_and_the_last_success_beside_them(keeping: World) -> None:
    results = [False, True, False, True, False, False, False]
    ids = [_finished(keeping, succeeds=succeeds) for succeeds in results]

    surplus = _surplus(keeping)

    assert set(surplus) == {ids[4], ids[2], ids[1], ids[0]}  # not ids[3]
    assert keeping.do(RemoveRuns(tuple(surplus))) == 4
    assert {run.id for run in keeping.runs()} == {ids[3], ids[5], ids[6]}
    assert _surplus(keeping) == []


def test_unfinished_runs_are_never_surplus(keeping: World) -> None:
    waiting = [keeping.run_now().id for _ in range(5)]

    assert _surplus(keeping) == []
    assert keeping.do(RemoveRuns(tuple(waiting))) == 0
    assert len(keeping.runs()) == 5


def test_surplus_is_found_in_bounded_steps(keeping: World) -> None:
    for _ in range(6):
        _finished(keeping, succeeds=False)

    assert len(_surplus(keeping, limit=3)) == 3


def test_each_task_has_its_own_retention(keeping: World) -> None:
    keeping.register("u", overlap_policy="allow", retention={"runs": 1})
    for _ in range(3):
        _finished(keeping, succeeds=False)
        _finished(keeping, succeeds=False, name="u")
    tasks = [keeping.task("t").id, keeping.task("u").id]

    both = keeping.read(beyond_count, tasks, 99)

    assert len(both) == 1 + 2
    assert len(keeping.read(beyond_count, tasks, 1)) == 1


def test_with_a_run_go_its_attempts_and_its_lines(keeping: World) -> None:
    claimed = keeping.start()
    keeping.end(claimed, BROKEN, lines=(LogLine(1, NOON, "info", "x"),))
    keeping.clock.advance(HOUR)
    with keeping.transaction() as tx:
        tx.connection.execute(
            tables.run.update().values(
                status="failed", reason="error", finished_at=NOON, not_before=None
            )
        )

    assert keeping.do(RemoveRuns((claimed.id,))) == 1

    rest = [keeping.count(table) for table in (tables.attempt, tables.run_log, tables.task)]
    assert rest == [0, 0, 1]


def test_a_task_whose_last_run_was_removed_has_none(keeping: World) -> None:
    last = _finished(keeping, succeeds=False)
    assert keeping.task().last_run is not None

    keeping.do(RemoveRuns((last,)))

    assert keeping.task().last_run is None


def test_old_runs_go_but_not_the_last_success(keeping: World) -> None:
    ids = [_finished(keeping, succeeds=succeeds) for succeeds in (True, True, False)]
    keeping.clock.advance(HOUR)
    young = _finished(keeping, succeeds=False)
    keeping.clock.advance(2 * MINUTE)

    old, position = keeping.read(beyond_age, keeping.now, None, 99)

    assert set(old) == {ids[0], ids[2]}
    assert position is None
    assert young not in old


def test_a_sweep_goes_on_where_the_last_one_stopped(keeping: World) -> None:
    ids = [_finished(keeping, succeeds=False) for _ in range(5)]
    keeping.clock.advance(DAY)

    found: list[UUID] = []
    steps, position = 0, None
    while True:
        old, position = keeping.read(beyond_age, keeping.now, position, 2)
        found.extend(old)
        steps += 1
        if position is None:
            break

    assert found == ids
    assert steps == 3


def test_age_counts_from_the_end_of_a_run(keeping: World) -> None:
    claimed = keeping.start()
    keeping.clock.advance(DAY)
    keeping.end(claimed, BROKEN, retry=LAST)

    just_now, _ = keeping.read(beyond_age, keeping.now + HOUR, None, 9)
    later, _ = keeping.read(beyond_age, keeping.now + HOUR + timedelta(milliseconds=1), None, 9)

    assert (just_now, later) == ([], [claimed.id])


def test_a_task_that_always_succeeds_keeps_as_many_runs_as_it_says(keeping: World) -> None:
    made = [_finished(keeping, succeeds=True) for _ in range(5)]

    assert set(_surplus(keeping)) == set(made[:3])
