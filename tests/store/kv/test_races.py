"""Two replicas on one PostgreSQL: runs that share tables or make checkpoints while the other's transaction is open."""

from collections.abc import Iterator
from typing import Any

import pytest

from rota.db.command import Command
from rota.domain.kv.entries import KvChange
from rota.domain.kv.operations import Increment
from rota.domain.kv.run_writes import Committed, KvWrites, TableWrites
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Cancelled, Conflicted, Succeeded
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import OnConflict
from rota.errors import LeaseLost
from rota.store.completion.checkpoint import Checkpoint
from rota.store.completion.finish import Finish, Reap
from rota.store.tasks.registration import Register
from rota.store.tasks.run_commands import CancelRun
from tests.store.test_races import Pair
from tests.support.factories import World, define, finish, set_entry

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True),
]
MANUAL: dict[str, Any] = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}


@pytest.fixture
def two(world: World, migrated_database_url: str) -> Iterator[Pair]:
    """Two replicas, and the tasks `t` and `stock`, which let each other write."""
    other = World(migrated_database_url)
    world.register("t", kv_grants=["stock"], **MANUAL)
    world.register("stock", kv_grants=["t"], **MANUAL)
    yield Pair(world, other)
    other.close()


def share(world: World, name: str, other: str, *, of: World) -> Finish:
    """Return the end of a run that adds to both tables."""
    claimed = of.start(name)
    changes = (Increment("n", 1), KvChange(f"by-{name}", b"1"))
    table = TableWrites(of.task(other).id, other, changes, 0)
    outcome = Succeeded("null", changes, claimed.kv_revision, others=(table,))
    return finish(claimed, outcome, holder=world.holder)


def point(world: World, claimed: ClaimedRun, key: str = "a") -> Checkpoint:
    work = KvWrites((KvChange(key, b'"mine"'),), claimed.kv_revision)
    return Checkpoint(run=claimed, holder=world.holder, work=work)


def test_runs_that_write_to_each_other_s_tables_do_not_wait_in_a_circle(two: Pair) -> None:
    one = share(two.first, "t", "stock", of=two.first)
    other = share(two.second, "stock", "t", of=two.second)

    settled = two.second_after(one, other).result()

    assert settled.status is RunStatus.SUCCEEDED
    for name in ("t", "stock"):
        entries = two.first.entries(name)
        assert entries == {"n": 2, "by-t": 1, "by-stock": 1}
        assert two.first.task(name).kv_revision == 2


def test_a_client_s_write_to_a_shared_table_gets_a_revision_of_its_own(two: Pair) -> None:
    sharing = share(two.first, "t", "stock", of=two.first)

    made = two.second_after(sharing, set_entry("stock", "theirs")).result()

    assert made.entries[0].version == 2
    assert two.first.entries("stock") == {"n": 1, "by-t": 1, "theirs": 1}


def test_a_grant_that_is_being_taken_back_counts_no_more(two: Pair) -> None:
    definition = define(**MANUAL)
    taking = Register(name="stock", definition=definition, on_conflict=OnConflict.UPDATE)

    settled = two.second_after(taking, share(two.first, "t", "stock", of=two.first)).result()

    assert settled.error is not None
    assert settled.error.type == "kv.not_granted"
    assert two.first.entries("stock") == {}


def test_a_checkpoint_of_a_run_that_is_being_released_writes_nothing(two: Pair) -> None:
    claimed = two.first.start("t")
    two.first.end_lease(two.first.holder)

    lost = two.second_after(Reap(), point(two.first, claimed))

    assert isinstance(lost.exception(), LeaseLost)
    assert two.first.entries("t") == {}


def test_a_checkpoint_of_a_run_that_is_being_cancelled_writes_nothing(two: Pair) -> None:
    claimed = two.first.start("t")

    assert two.second_after(CancelRun(claimed.id), point(two.first, claimed)).result() == (
        Cancelled()
    )
    assert two.first.entries("t") == {}


@pytest.mark.parametrize(("key", "answer"), [("a", Conflicted("a")), ("b", Committed(2))])
def test_a_checkpoint_meets_what_a_client_is_writing(two: Pair, key: str, answer: Any) -> None:
    claimed = two.first.start("t")
    setting: Command[Any] = set_entry("t", "a")

    assert two.second_after(setting, point(two.first, claimed, key)).result() == answer


def test_a_run_is_not_ended_while_its_checkpoint_is_committed(two: Pair) -> None:
    claimed = two.first.start("t")

    asked = two.second_after(point(two.first, claimed), CancelRun(claimed.id))

    assert asked.result().status is RunStatus.RUNNING
    assert two.first.entries("t") == {"a": "mine"}
