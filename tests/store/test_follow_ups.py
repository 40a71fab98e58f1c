"""Follow-ups: the writer does them after each command, and a savepoint that is rolled back leaves none."""

from contextlib import suppress
from dataclasses import dataclass

import pytest

from rota.db.command import Command, Transaction
from rota.db.tables import run
from rota.domain.effects import RunEnded
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason
from rota.store.follow_ups import follow_up
from rota.store.runs.cancellation import cancel_waiting
from tests.support.factories import World, together


@dataclass(frozen=True)
class EndOnly(Command[int]):
    """End a waiting run, and nothing else."""

    run_id: Id

    def apply(self, tx: Transaction) -> int:
        return cancel_waiting(tx, CancelReason.REQUESTED, run.c.id == self.run_id)


@pytest.fixture
def line(world: World) -> list[Id]:
    """Three runs of a task, each behind the one before it."""
    world.register(overlap_policy="buffer", schedule={"type": "manual"})
    return [world.run_now().id for _ in range(3)]


def test_a_command_that_only_ends_a_run_unblocks_the_next_one(world: World, line: list[Id]) -> None:
    world.do(EndOnly(line[0]))

    assert [world.run(id).status for id in line] == ["cancelled", "queued", "blocked"]


def test_commands_of_one_commit_are_followed_up_one_after_the_other(
    world: World, line: list[Id]
) -> None:
    together(world.writer, [EndOnly(line[0]), EndOnly(line[1])])

    assert [world.run(id).status for id in line] == ["cancelled", "cancelled", "queued"]


@pytest.mark.parametrize("rolled_back", [True, False])
def test_a_savepoint_keeps_its_effects_and_follow_ups_unless_it_is_rolled_back(
    world: World, line: list[Id], rolled_back: object
) -> None:
    with world.transaction() as tx, tx.savepoint() as savepoint:
        EndOnly(line[0]).apply(tx)
        follow_up(tx)
        if rolled_back:
            savepoint.rollback()

    ended = [effect for effect in tx.effects if isinstance(effect, RunEnded)]
    assert (len(ended), tx.followed_up > 0) == ((0, False) if rolled_back else (1, True))
    statuses = ["queued", "blocked"] if rolled_back else ["cancelled", "queued"]
    assert [world.run(id).status for id in line[:2]] == statuses


def test_a_savepoint_that_fails_leaves_the_effects_before_it(world: World, line: list[Id]) -> None:
    with world.transaction() as tx:
        EndOnly(line[0]).apply(tx)
        before = list(tx.effects)
        with suppress(ValueError), tx.savepoint():
            EndOnly(line[1]).apply(tx)
            follow_up(tx)
            raise ValueError("a bug")

        assert (tx.effects, tx.followed_up) == (before, 0)
        follow_up(tx)

    assert [world.run(id).status for id in line] == ["cancelled", "queued", "blocked"]
