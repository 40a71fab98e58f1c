"""Concurrency keys limit the runs with one key, across tasks, queues and replicas, and none is stuck."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, select, update

from rota.db.tables import run
from rota.domain.effects import KeysFreed, RunsReady
from rota.domain.primitives.ids import random_id
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Lost, Released
from rota.domain.runs.status import RunStatus
from rota.store.completion.finish import Reap
from rota.store.replicas import Retire
from rota.store.runs.claiming.claim import Claim
from rota.store.runs.claiming.starting import ClaimShortfall
from rota.store.runs.concurrency_keys import (
    MOST_PROMOTED,
    WAITING_ON_CONCURRENCY,
    Promote,
    promote,
    waiting_keys,
)
from rota.store.runs.queues import PutQueue
from tests.support.factories import BROKEN, HANDLERS, World, success

postgres_only = pytest.mark.parametrize(
    "database_engine",
    [pytest.param("postgresql", marks=pytest.mark.postgres)],
    indirect=True,
)


def task(world: World, name: str, limit: int | None = 1, runs: int = 0, **fields: Any) -> None:
    """Register a task with the key `k`, and run it some times."""
    held = None if limit is None else {"key": "k", "limit": limit}
    defaults = {"overlap_policy": "allow", "schedule": {"type": "manual"}, "concurrency": held}
    world.register(name, **defaults | fields)
    for _ in range(runs):
        world.run_now(name)


def claim(world: World, limit: int = 100, queue: str = "default") -> tuple[str, ClaimShortfall]:
    """Claim; return the tasks whose runs started, and what was left."""
    claimed = world.do(Claim(holder=world.holder, queue=queue, handlers=HANDLERS, limit=limit))
    return "".join(each.task for each in claimed.runs), claimed.shortfall


def statuses(world: World, name: str) -> dict[str, int]:
    return dict(Counter(each.status for each in world.runs(name)))


def waiting(world: World, name: str) -> set[tuple[str, ...]]:
    return {each.waiting_on for each in world.runs(name) if each.status is RunStatus.BLOCKED}


def copy(world: World, claimed: ClaimedRun, number: int, **fields: Any) -> None:
    """Insert as many copies of a run that waits."""
    with world.transaction() as tx:
        row = tx.connection.execute(select(run).where(run.c.id == claimed.id)).mappings().one()
        waits = dict(row) | {"holder": None, "started_at": None, "attempt": 0} | fields
        tx.connection.execute(run.insert(), [waits | {"id": random_id()} for _ in range(number)])


def end_unseen(claimed: ClaimedRun, world: World) -> Any:
    """Return the statement that ends a run without anything that follows from it."""
    ended = update(run).where(run.c.id == claimed.id)
    return ended.values(status="cancelled", reason="requested", holder=None, finished_at=world.now)


@contextmanager
def statements(world: World) -> Iterator[list[str]]:
    """Note the statements that are executed by the writer's connection meanwhile."""
    executed: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    event.listen(world.database.writing, "before_cursor_execute", note)
    try:
        yield executed
    finally:
        event.remove(world.database.writing, "before_cursor_execute", note)


def test_no_more_runs_with_a_key_than_its_limit(world: World) -> None:
    task(world, "a", limit=2, runs=5)

    assert claim(world) == ("aa", ClaimShortfall.NOTHING)
    assert statuses(world, "a") == {"running": 2, "blocked": 3}
    assert waiting(world, "a") == {("concurrency",)}


def test_a_key_is_shared_by_tasks_and_queues(world: World) -> None:
    task(world, "a", runs=1)
    task(world, "b", runs=1)
    task(world, "c", runs=1, queue="other")

    assert claim(world)[0] == "a"
    assert claim(world, queue="other")[0] == ""
    assert statuses(world, "b") == statuses(world, "c") == {"blocked": 1}


def test_other_keys_and_runs_without_one_are_not_held(world: World) -> None:
    task(world, "a", runs=2)
    task(world, "b", concurrency={"key": "other", "limit": 1}, runs=2)
    task(world, "c", None, runs=2)

    assert sorted(claim(world)[0]) == ["a", "b", "c", "c"]


def test_each_run_goes_by_its_own_limit(world: World) -> None:
    task(world, "a", limit=1, runs=2)
    task(world, "b", limit=3, runs=4)

    assert claim(world)[0] == "abb"
    assert (statuses(world, "a"), statuses(world, "b")) == (
        {"running": 1, "blocked": 1},
        {"running": 2, "blocked": 2},
    )


def test_a_claim_starts_the_best_runs_first_and_no_more_than_requested(world: World) -> None:
    task(world, "a", None, runs=2)
    task(world, "b", limit=5, priority=1, runs=2)

    assert claim(world, 3)[0] == "bba"
    assert statuses(world, "a") == {"running": 1, "queued": 1}


def test_a_key_is_held_within_a_queue_s_limit(world: World) -> None:
    task(world, "a", limit=1, runs=2)
    task(world, "b", None, runs=5)
    world.do(PutQueue(name="default", concurrency=3, paused=False, by="me"))

    assert claim(world) == ("abb", ClaimShortfall.FULL)


@pytest.mark.parametrize("outcome", [None, BROKEN, Lost(), Released()])
def test_the_end_of_an_attempt_unblocks_the_next_run(world: World, outcome: Any) -> None:
    task(world, "a", runs=3)
    (claimed,) = world.claim()
    world.effects.clear()

    if outcome is None:
        world.succeed(claimed)
    else:
        world.end(claimed, outcome)

    # A run that was released is queued again itself, and is the best.
    given_back = isinstance(outcome, Lost | Released)
    assert RunsReady("default") in world.effects
    assert statuses(world, "a")["queued"] == 1 + (outcome is not None)
    assert (world.claim()[0].id == claimed.id) is given_back
    assert statuses(world, "a").get("running") == 1


def test_the_best_waiting_run_is_unblocked_first(world: World) -> None:
    for name, priority in (("l", -1), ("n", 0), ("h", 1)):
        task(world, name, priority=priority, runs=2)
    order = ""

    while started := world.claim():
        (claimed,) = started
        order += claimed.task
        world.succeed(claimed)

    assert order == "hhnnll"


def test_each_queue_in_which_runs_wait_is_offered_the_room(world: World) -> None:
    """Or a paused queue would keep the key from the others."""
    task(world, "x", runs=1)
    (claimed,) = world.claim()
    task(world, "a", runs=2, queue="paused", priority=9)
    task(world, "b", runs=2, queue="free")
    claim(world, queue="paused")
    claim(world, queue="free")
    world.do(PutQueue(name="paused", concurrency=None, paused=True, by="me"))

    world.succeed(claimed)

    assert claim(world, queue="free")[0] == "b"
    assert (statuses(world, "a"), statuses(world, "b")) == (
        {"queued": 1, "blocked": 1},
        {"running": 1, "blocked": 1},
    )


def test_a_cancel_and_a_delete_unblock_the_next_run(world: World) -> None:
    task(world, "a", runs=1)
    task(world, "b", runs=1)
    assert claim(world)[0] == "a"

    world.delete("a")

    assert claim(world)[0] == "b"


def test_runs_of_a_dead_replica_keep_their_slot_until_they_are_released(world: World) -> None:
    task(world, "a", runs=2)
    dead = world.enlist()
    (lost,) = world.claim(holder=dead)
    world.end_lease(dead)

    assert claim(world)[0] == ""
    world.do(Reap())

    assert world.claim()[0].id == lost.id


def test_the_sweep_unblocks_stalled_runs(world: World) -> None:
    task(world, "a", runs=3)
    (claimed,) = world.claim()
    with world.transaction() as tx:  # like an end that was not followed up
        tx.connection.execute(end_unseen(claimed, world))
    assert claim(world)[0] == ""
    assert world.read(waiting_keys) == ["k"]
    world.effects.clear()

    assert world.do(Promote(("k",), stalled_only=True)) == 1

    assert world.effects == [RunsReady("default")]
    assert world.do(Promote(("k",), stalled_only=True)) == 0  # one is on its way, and then the next
    assert claim(world)[0] == "a"


def test_the_sweep_leaves_full_keys_alone(world: World) -> None:
    task(world, "a", runs=3)
    claim(world)

    assert world.do(Promote(("k",), stalled_only=True)) == 0
    assert statuses(world, "a") == {"running": 1, "blocked": 2}


def test_every_key_that_is_waited_for_is_found(world: World) -> None:
    for name in ("b", "a", "B"):
        task(world, name, concurrency={"key": name, "limit": 1}, runs=3)
    task(world, "alone", concurrency={"key": "alone", "limit": 1}, runs=1)
    claim(world)

    assert world.read(waiting_keys) == ["B", "a", "b"]


def test_a_changed_limit_holds_for_runs_that_wait(world: World) -> None:
    task(world, "a", limit=1, runs=5)
    claim(world)

    task(world, "a", limit=3, on_conflict="update")

    assert claim(world)[0] == "aa"
    assert statuses(world, "a") == {"running": 3, "blocked": 2}


def test_a_removed_key_blocks_no_run(world: World) -> None:
    task(world, "a", runs=3)
    claim(world)

    task(world, "a", None, on_conflict="update")

    assert claim(world)[0] == "aa"


def test_a_key_that_is_given_later_holds_runs_that_wait(world: World) -> None:
    task(world, "a", None, runs=3)

    task(world, "a", 1, on_conflict="update")

    assert claim(world)[0] == "a"


def test_running_runs_keep_the_key_they_started_with(world: World) -> None:
    task(world, "a", runs=1)
    claim(world)
    task(world, "a", concurrency={"key": "new", "limit": 1}, on_conflict="update")
    task(world, "b", runs=1)
    world.run_now("a")

    assert claim(world)[0] == "a"
    assert statuses(world, "b") == {"blocked": 1}


def test_a_paused_task_s_runs_wait_for_its_resumption_and_then_for_their_key(world: World) -> None:
    task(world, "a", runs=2)
    (claimed,) = world.claim()
    world.pause("a")
    assert waiting(world, "a") == {("paused",)}

    world.resume("a")

    assert claim(world)[0] == ""
    assert waiting(world, "a") == {("concurrency",)}
    world.succeed(claimed)
    assert claim(world)[0] == "a"


def test_a_retry_that_waits_for_its_time_leaves_the_key_to_others(world: World) -> None:
    task(world, "a", runs=1)
    task(world, "b", runs=1)
    (claimed,) = world.claim()

    world.end(claimed, BROKEN)

    assert world.run(claimed.id).not_before is not None
    assert claim(world)[0] == "b"


def test_an_unblocked_run_with_an_unknown_handler_takes_no_slot(world: World) -> None:
    task(world, "a", runs=1)
    task(world, "gone", runs=1, handler="other", priority=-1)
    task(world, "c", runs=1, priority=-2)
    staying = world.enlist("noop")
    (claimed,) = world.claim(holder=staying)
    world.do(Retire(world.holder))
    world.holder = staying

    world.succeed(claimed)

    assert waiting(world, "gone") == {("handler",)}
    assert [each.task for each in world.claim()] == ["c"]


def test_a_backlog_of_a_full_key_is_out_of_the_way_after_one_look(world: World) -> None:
    """However many runs wait for a key: the queue's other runs are claimed by as many statements as ever."""
    task(world, "a", runs=1)
    (claimed,) = world.claim()
    copy(world, claimed, 3_000, status="queued")
    task(world, "z", None, priority=-1, runs=2)
    left = []

    while (found := claim(world, 1))[0] == "":
        left.append(found[1])

    assert left == [ClaimShortfall.MORE] * 5  # 51 and 500 each, and then the rest
    assert world.count(run, run.c.status == RunStatus.BLOCKED) == 3_000
    with statements(world) as executed:
        assert claim(world, 1)[0] == "z"
    assert len(executed) <= 3  # the beginning, runs started, their tasks


def test_a_promotion_costs_the_same_however_many_wait(world: World) -> None:
    task(world, "a", limit=150, runs=1)
    (claimed,) = world.claim()
    copy(world, claimed, 1_000, status="blocked", waiting_on=WAITING_ON_CONCURRENCY)

    with statements(world) as executed, world.transaction() as tx:
        assert promote(tx, ["k"]) == MOST_PROMOTED
        # As many as are unblocked at once: the rest follows shortly.
        assert KeysFreed(("k",)) in tx.effects

    assert len(executed) <= 8
    assert world.count(run, run.c.status == RunStatus.QUEUED) == MOST_PROMOTED


@postgres_only
def test_two_replicas_hold_a_key_together(world: World, migrated_database_url: str) -> None:
    task(world, "a", limit=2, runs=15)
    task(world, "b", limit=2, runs=15, queue="other")
    other = World(migrated_database_url)
    most: list[int] = []

    def work(world: World, queue: str) -> None:
        unfinished = run.c.finished_at.is_(None), run.c.queue == queue
        while world.count(run, *unfinished):
            started = world.claim(2, queue=queue)
            most.append(world.count(run, run.c.status == RunStatus.RUNNING))
            for each in started:
                world.succeed(each)
            for freed in [each for each in world.effects if isinstance(each, KeysFreed)]:
                world.do(Promote(freed.keys))

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(work, world, "default"), threads.submit(work, other, "other")]:
            done.result(60)
    other.close()

    assert max(most) <= 2
    assert {each.attempt for name in "ab" for each in world.runs(name)} == {1}


@postgres_only
def test_a_key_in_other_hands_is_left_for_later_and_others_are_not(
    world: World, migrated_database_url: str
) -> None:
    task(world, "a", runs=2, priority=1)
    task(world, "c", None, runs=1)
    other = World(migrated_database_url)

    with world.transaction() as tx:
        Claim(holder=world.holder, queue="default", handlers=HANDLERS, limit=1).apply(tx)
        meanwhile = claim(other, 2)
    after = claim(other, 2)
    other.close()

    assert meanwhile == ("c", ClaimShortfall.LOCKED)
    assert after == ("", ClaimShortfall.NOTHING)
    assert statuses(world, "a") == {"running": 1, "blocked": 1}


@postgres_only
def test_an_end_during_another_replica_s_claim_is_not_missed(
    world: World, migrated_database_url: str
) -> None:
    task(world, "a", runs=2)
    (claimed,) = world.claim(1)
    other = World(migrated_database_url)

    with world.transaction() as tx:  # sees one running, and makes the other wait
        late = Claim(holder=world.holder, queue="default", handlers=HANDLERS, limit=9)
        assert not late.apply(tx).runs
        other.end(claimed, success(claimed), holder=world.holder)
    freed = [each for each in other.effects if isinstance(each, KeysFreed)]
    other.close()

    assert freed == [KeysFreed(("k",))]
    assert statuses(world, "a") == {"succeeded": 1, "blocked": 1}
    assert world.do(Promote(freed[0].keys)) == 1


@postgres_only
def test_two_concurrent_ends_unblock_two_runs(world: World, migrated_database_url: str) -> None:
    task(world, "a", limit=2, runs=5)
    (first, second) = world.claim()
    other = World(migrated_database_url)

    with world.transaction() as tx:
        tx.connection.execute(end_unseen(first, world))
        assert promote(tx, ["k"]) == 1
        with other.transaction() as beside:
            beside.connection.execute(end_unseen(second, world))
            assert promote(beside, ["k"]) == 1
    other.close()

    assert statuses(world, "a") == {"cancelled": 2, "queued": 2, "blocked": 1}
