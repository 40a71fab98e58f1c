"""Propagation on two replicas of one PostgreSQL: no firing is doubled or lost, and none deadlocks."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from rota.db import tables
from rota.db.command import Command, Transaction
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Outcome
from rota.domain.tasks.definition import OnConflict
from rota.errors import Invalid
from rota.store.completion.finish import Finish
from rota.store.tasks.lifecycle import Cancel, Delete
from rota.store.tasks.registration import Register
from tests.store.test_races import Pair
from tests.support.factories import (
    BROKEN,
    DEADLINE,
    World,
    change,
    define,
    eventually,
    finish,
    success,
)

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True),
]
ROUNDS = 15


@pytest.fixture
def pair(world: World, migrated_database_url: str) -> Iterator[Pair]:
    other = World(migrated_database_url)
    yield Pair(world, other)
    other.close()


def register(name: str, *tasks: str) -> Register:
    schedule: dict[str, Any] = (
        {"type": "after", "tasks": list(tasks)} if tasks else {"type": "manual"}
    )
    definition = define(
        schedule=schedule,
        overlap_policy="allow",
        retry={"max_attempts": 1},
        queue="later" if tasks else "default",
    )
    return Register(name=name, definition=definition, on_conflict=OnConflict.UPDATE)


def ending(world: World, claimed: ClaimedRun, outcome: Outcome | None = None) -> Finish:
    return finish(claimed, outcome or success(claimed), holder=world.holder)


@dataclass(frozen=True)
class EndTogether(Command[None]):
    """Ends runs of several tasks as the writer does with what comes at the same time."""

    commands: list[Finish]

    def apply(self, tx: Transaction) -> None:
        Finish.apply_all(tx, self.commands)


def deadlocks(connection: Connection) -> int:
    """Return how many transactions the database has ended because of deadlocks."""
    counted = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return int(connection.execute(counted).scalar_one())


@pytest.mark.parametrize("first", ["a", "b"])
def test_two_runs_that_end_at_once_fire_their_common_successor_once(pair: Pair, first: str) -> None:
    for command in (register("a"), register("b"), register("s", "a", "b")):
        pair.first.do(command)
    runs = {name: pair.first.start(name) for name in ("a", "b")}
    second = "b" if first == "a" else "a"

    answer = pair.second_after(ending(pair.first, runs[first]), ending(pair.first, runs[second]))

    assert answer.result().status == "succeeded"
    (run,) = pair.first.runs("s")
    assert run.status == "queued"


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_neighbours_in_a_chain_that_end_at_once_on_two_replicas_lose_nothing(
    pair: Pair, order: str
) -> None:
    for name in f"{order}z":  # the older a task, the earlier it is locked
        pair.first.do(register(name))
    for name, before in (("b", "a"), ("c", "b")):
        pair.first.do(register(name, before))
    both = Barrier(2)

    def end_all(world: World, *groups: list[ClaimedRun]) -> None:
        for group in zip(*groups, strict=True):
            both.wait(DEADLINE)
            world.do(EndTogether([ending(pair.first, run) for run in group]))

    for name in "abzz" * ROUNDS:
        pair.first.run_now(name)
    claimed = [*pair.first.claim(), *pair.first.claim(queue="later")]
    a, b, z = ([run for run in claimed if run.task == name] for name in "abz")
    with ThreadPoolExecutor(2) as threads:
        sides = [
            threads.submit(end_all, pair.first, a, z[:ROUNDS]),
            threads.submit(end_all, pair.second, b, z[ROUNDS:]),
        ]
        for side in sides:
            side.result(DEADLINE)

    after = [run for name in "bc" for run in pair.first.runs(name) if run.trigger == "after"]
    assert [run.task for run in after] == ["b"] * ROUNDS + ["c"] * ROUNDS
    assert pair.first.read(deadlocks) == 0


def test_a_finish_that_deadlocks_is_executed_again(pair: Pair) -> None:
    for command in (register("a"), register("b", "a"), register("c", "b")):
        pair.first.do(command)
    claimed = pair.first.start("a")
    row = {
        name: select(tables.task.c.id).where(tables.task.c.name == name).with_for_update()
        for name in "ac"
    }

    with ThreadPoolExecutor(1) as threads:
        with pair.first.transaction() as tx:
            # Longer than the writer waits: the finish is the one to give way.
            tx.connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            tx.connection.execute(row["c"])
            # It has locked `a` and `b`, and waits for `c`, which is two tasks down.
            answer = threads.submit(pair.second.do, ending(pair.first, claimed, BROKEN))
            eventually(lambda: pair._waiting() == 1, "no transaction waits")
            tx.connection.execute(row["a"])
        assert answer.result(DEADLINE).status == "failed"

    assert [run.reason for name in "bc" for run in pair.first.runs(name)] == ["predecessor"] * 2


def test_of_two_registrations_that_together_create_a_cycle_the_second_is_refused(
    pair: Pair,
) -> None:
    for name in "abc":
        pair.first.do(register(name))
    pair.first.do(register("c", "b"))

    answer = pair.second_after(register("b", "a"), register("a", "c"))

    error = answer.exception()
    assert isinstance(error, Invalid)
    assert error.faults[0].detail == "this creates a cycle: 'a' after 'c' after 'b' after 'a'"


@pytest.mark.parametrize("ends", [Cancel, Delete])
def test_a_task_that_is_cancelled_while_it_is_named_for_the_first_time_notifies_its_successor(
    pair: Pair, ends: Any
) -> None:
    pair.first.do(register("a"))

    pair.second_after(register("s", "a"), ends(change("a"))).result()

    assert [run.reason for run in pair.first.runs("s")] == ["predecessor"]


def test_a_task_that_is_deleted_just_now_cannot_be_named_any_more(pair: Pair) -> None:
    pair.first.do(register("a"))

    answer = pair.second_after(Delete(change("a")), register("s", "a"))

    error = answer.exception()
    assert isinstance(error, Invalid)
    assert error.faults[0].pointer == "/schedule/tasks/0"
