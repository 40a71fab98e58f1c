"""PostgreSQL: a foreign lock holds up only the commands that need the locked row."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from rota.db import tables
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import LogLine
from rota.domain.runs.status import RunStatus
from rota.errors import Locked
from rota.store.completion.finish import Reap
from rota.store.kv.history.trim import ForgetRemoved, long_removed
from rota.store.kv.transactions import RemoveExpired
from rota.store.runs.logs import SaveOutput
from rota.store.tasks.lifecycle import Purge
from rota.store.tasks.retention import RemoveEnded, RemoveRuns, ended_tasks
from tests.support.factories import DAY, HOUR, MINUTE, World, delete_entry, foreign_lock, set_entry

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True),
]
MANUAL: dict[str, Any] = {"schedule": {"type": "manual"}}


@contextmanager
def locked_task(world: World, name: str = "locked") -> Iterator[None]:
    with foreign_lock(world, select(tables.task.c.id).where(tables.task.c.name == name)):
        yield


@contextmanager
def locked_run(world: World, id: Id) -> Iterator[None]:
    with foreign_lock(world, select(tables.run.c.id).where(tables.run.c.id == id)):
        yield


@pytest.fixture
def two(world: World) -> World:
    for name in ("locked", "free"):
        world.register(name, **MANUAL)
    return world


def test_lost_runs_of_other_tasks_are_released(two: World) -> None:
    held, free = two.start("locked"), two.start("free")
    two.end_lease(two.holder)

    with locked_task(two):
        given_back = [two.do(Reap()), two.do(Reap())]
        statuses = [two.run(each.id).status for each in (held, free)]

    assert given_back == [1, 0]
    assert statuses[0] is RunStatus.RUNNING
    assert statuses[1] is not RunStatus.RUNNING
    assert two.do(Reap()) == 1
    assert [len(two.attempts(each.id)) for each in (held, free)] == [1, 1]


def test_lost_runs_are_released_beside_a_locked_one(two: World) -> None:
    held, free = two.start("locked"), two.start("free")
    two.end_lease(two.holder)

    with locked_run(two, held.id):
        given_back = two.do(Reap())

    assert given_back == 1
    assert two.run(free.id).status is not RunStatus.RUNNING
    assert two.do(Reap()) == 1


def test_lost_runs_are_released_beside_one_with_a_locked_successor(two: World) -> None:
    two.register("after", schedule={"type": "after", "tasks": ["locked"], "on": ["failed"]})
    held, free = two.start("locked"), two.start("free")
    two.end_lease(two.holder)

    with locked_task(two, "after"):
        given_back = two.do(Reap())

    assert given_back == 1
    assert two.run(held.id).status is RunStatus.RUNNING
    assert two.run(free.id).status is not RunStatus.RUNNING
    assert two.do(Reap()) == 1


def test_rows_of_other_deleted_tasks_are_removed(two: World) -> None:
    two.delete("locked")
    two.clock.advance(MINUTE)
    two.delete("free")

    with locked_task(two):
        while two.do(Purge(10)):
            pass
        left = _names(two)

    assert left == ["locked"]
    while two.do(Purge(10)):
        pass
    assert _names(two) == []


def _names(world: World) -> list[str]:
    with world.database.read() as connection:
        return list(connection.execute(select(tables.task.c.name)).scalars())


def test_other_old_runs_are_removed(two: World) -> None:
    for _ in range(2):
        two.succeed(two.start("free"))
    first, second = two.runs("free")

    with locked_run(two, first.id):
        removed = two.do(RemoveRuns((first.id, second.id)))
        left = [run.id for run in two.runs("free")]

    assert (removed, left) == (1, [first.id])
    assert two.do(RemoveRuns((first.id, second.id))) == 1


def test_other_ended_tasks_are_deleted(two: World) -> None:
    for name in ("locked", "free"):
        two.cancel(name)
    two.clock.advance(DAY)
    over, _ = two.read(ended_tasks, two.now, timedelta(hours=1), None, 10)

    with locked_task(two):
        deleted = two.do(RemoveEnded(tuple(over)))

    assert (len(over), deleted) == (2, 1)
    assert two.do(RemoveEnded(tuple(over))) == 1


def test_expired_entries_of_other_tables_are_removed(two: World) -> None:
    for name in ("locked", "free"):
        two.do(set_entry(name, "k", b"1", MINUTE))
    two.clock.advance(HOUR)

    with locked_task(two):
        removed = [two.do(RemoveExpired(10)), two.do(RemoveExpired(10))]

    assert removed == [1, 0]
    assert two.do(RemoveExpired(10)) == 1
    assert two.count(tables.kv) == 0


def test_other_removals_are_forgotten(two: World) -> None:
    for name in ("locked", "free"):
        two.set("k", 1, name)
        two.do(delete_entry(name, "k"))
    two.clock.advance(1_000 * DAY)
    gone, _ = two.read(long_removed, two.now, None, 100)

    with locked_task(two):
        forgotten = two.do(ForgetRemoved(tuple(gone)))

    assert (len(gone), forgotten) == (2, 1)
    assert two.do(ForgetRemoved(tuple(gone))) == 2


def test_runs_of_locked_tasks_and_others_are_claimed(two: World) -> None:
    made = {two.run_now(name).id for name in ("locked", "free")}

    with locked_task(two):
        claimed = {run.id for run in two.claim()}

    assert claimed == made


def test_a_caller_that_tries_again_by_itself_gets_the_lock_error_at_once(two: World) -> None:
    """The engine has others to see to meanwhile."""
    held = two.start("locked")
    lines = (LogLine(1, two.now, "info", "so far"),)
    note = SaveOutput(
        run_id=held.id, attempt=held.attempt, holder=two.holder, lines=lines, progress=None
    )

    with locked_run(two, held.id), pytest.raises(Locked):
        two.do(note)

    assert two.do(note) is True


def test_a_change_of_a_locked_task_is_made_once_when_it_is_free_again(two: World) -> None:
    with ThreadPoolExecutor() as threads:
        with locked_task(two):
            answers_to_come: list[Future[Any]] = [
                threads.submit(two.set, "k", 1, "locked"),
                threads.submit(two.run_now, "locked"),
            ]
            two.set("k", 1, "free")
            beside = two.run_now("free")
            unanswered = [not each.done() for each in answers_to_come]
        answers = [each.result() for each in answers_to_come]

    assert unanswered == [True, True]
    assert (answers[0].version, two.entries("locked")) == (1, {"k": 1})
    assert [run.id for run in two.runs("locked")] == [answers[1].id]
    assert [run.id for run in two.runs("free")] == [beside.id]


def test_an_end_of_a_run_of_a_locked_task_is_written_once_when_it_is_free_again(two: World) -> None:
    held, free = two.start("locked"), two.start("free")

    with ThreadPoolExecutor() as threads:
        with locked_task(two):
            ending = threads.submit(two.succeed, held, "1", k=1)
            two.succeed(free, "1", k=1)
            statuses = [two.run(each.id).status for each in (held, free)]
        ending.result()

    assert statuses == [RunStatus.RUNNING, RunStatus.SUCCEEDED]
    assert two.run(held.id).status is RunStatus.SUCCEEDED
    assert len(two.attempts(held.id)) == 1
    assert two.task("locked").kv_revision == two.task("free").kv_revision
