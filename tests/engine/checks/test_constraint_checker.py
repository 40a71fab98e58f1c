"""The checker: rounds on a fake clock."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.db import tables
from rota.db.encryption import Keyring
from rota.domain.effects import KvWritten, RunsConstrained, RunsReady
from rota.domain.kv.operations import Set
from rota.domain.primitives.ids import random_id
from rota.engine.checks.constraint_checker import ConstraintChecker, load_per_processor
from rota.store.kv.transactions import Transact
from rota.store.runs.claiming.claim import ReleaseDelayed
from tests.engine.constraints import CALM, READY, checking, register, waits_for
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World


def test_a_run_can_start_when_its_constraints_are_met(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "t", READY, CALM)
    run = world.run_now()

    checker.check()
    assert waits_for(world) == ["constraint:kv"]

    world.set("ready", True)
    checker.check()
    assert waits_for(world) == ["queued"]
    assert [claimed.id for claimed in world.claim()] == [run.id]


def test_a_run_lists_all_constraints_that_it_waits_for(world: World) -> None:
    register(world, "t", READY, CALM, {**READY, "key": "other", "name": "the-other"})
    world.run_now()

    checking(world, lambda: 3.0).check()

    assert waits_for(world) == ["constraint:kv,constraint:max_load,constraint:the-other"]


def test_an_entry_that_is_not_json_does_not_block_other_tasks(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "a", READY)
    register(world, "b", {"type": "kv", "task": "a", "key": "ready", "exists": True})
    register(world, "c", {"type": "kv", "task": "a", "key": "ready", "not_equals": True})
    register(world, "d", READY)
    world.set("ready", True, name="d")
    for content in (b"\x89PNG", b"true"):
        written = Set("ready", content, None, "image/png")
        world.do(Transact(task="a", operations=(written,), by="me"))
        for name in "abcd":
            world.run_now(name)

        checker.check()

    queued = ["queued", "queued"]
    assert [waits_for(world, name) for name in "abcd"] == [["constraint:kv"] * 2, *[queued] * 3]


def test_an_entry_that_cannot_be_decrypted_does_not_block_other_tasks(
    migrated_database_url: str,
) -> None:
    sealed = World(migrated_database_url, keyring=Keyring({"k1": bytes(32)}))
    register(sealed, "a", READY)
    register(sealed, "b", {"type": "kv", "task": "a", "key": "ready", "exists": True})
    register(sealed, "c", {"type": "kv", "task": "a", "key": "ready", "not_equals": 1})
    register(sealed, "d", CALM)
    sealed.set("ready", True, name="a")
    for name in "abcd":
        sealed.run_now(name)
    sealed.close()

    with closing(World(migrated_database_url)) as world:
        checking(world).check()

        waits = ["constraint:kv"]
        assert [waits_for(world, name) for name in "abcd"] == [waits, ["queued"], waits, ["queued"]]


def test_each_task_is_checked_against_its_own_constraints(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "a", {**READY, "task": "c"})
    register(world, "b", {**READY, "key": "not-there"})
    register(world, "c", {**READY, "equals": 1})
    for name in "abc":
        world.run_now(name)
    world.set("ready", True, name="c")

    checker.check()

    assert [waits_for(world, name) for name in "abc"] == [
        ["queued"],
        ["constraint:kv"],
        ["constraint:kv"],
    ]


def test_more_tasks_than_a_page_has_are_all_checked(
    world: World, checker: ConstraintChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.engine.checks.constraint_checker.BATCH", 2)
    for name in "abcde":
        register(world, name, {**CALM, "load": 0.05 if name == "d" else 0.5})
        for _ in range(3):
            world.run_now(name)

    checker.check()

    assert [waits_for(world, name)[0] for name in "abcde"] == [
        *["queued"] * 3,
        "constraint:max_load",
        "queued",
    ]
    assert all(len(set(waits_for(world, name))) == 1 for name in "abcde")


def test_the_constraints_of_many_runs_of_a_task_are_checked_once(world: World) -> None:
    looks: list[float] = []

    def load() -> float:
        looks.append(0.1)
        return 0.1

    register(world, "t", CALM)
    world.run_now()
    with world.transaction() as tx:
        (row,) = tx.connection.execute(tables.run.select()).mappings()
        copies = [{**row, "id": random_id()} for _ in range(700)]
        tx.connection.execute(tables.run.insert(), copies)

    checking(world, load).check()

    assert len(looks) == 1
    assert world.count(tables.run, tables.run.c.status == "queued") == 701


def test_a_run_is_skipped_if_it_has_waited_too_long(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "t", {**READY, "deadline": "1h"}, CALM)
    world.run_now()
    assert checker.check() == NOON + HOUR

    world.clock.advance(HOUR - MINUTE)
    checker.check()
    assert waits_for(world) == ["constraint:kv"]

    world.clock.advance(MINUTE)
    world.run_now()
    checker.check()
    assert waits_for(world) == ["skipped", "constraint:kv"]
    assert world.runs()[0].reason == "constraint_deadline"


def test_the_deadline_of_a_met_constraint_has_no_effect(world: World) -> None:
    register(world, "t", READY, {**CALM, "deadline": "1h"})
    world.run_now()
    world.clock.advance(2 * HOUR)

    checking(world, lambda: 0.1).check()
    assert waits_for(world) == ["constraint:kv"]

    checking(world, lambda: 0.9).check()
    assert waits_for(world) == ["skipped"]


def test_a_met_constraint_unblocks_a_run_even_after_the_deadline(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "t", {**CALM, "deadline": "1h"})
    world.run_now()
    world.clock.advance(2 * HOUR)

    checker.check()

    assert waits_for(world) == ["queued"]


def test_the_next_round_comes_when_a_window_opens(world: World, checker: ConstraintChecker) -> None:
    register(world, "t", {"type": "window", "from": "18:30", "to": "19:00"})
    world.run_now()

    opens = checker.check()
    assert opens == datetime(2026, 3, 10, 18, 30, tzinfo=UTC)

    world.clock.set(opens - timedelta(milliseconds=1))
    checker.check()
    assert waits_for(world) == ["constraint:window"]
    world.clock.set(opens)
    checker.check()
    assert waits_for(world) == ["queued"]


def test_every_attempt_is_checked(world: World, checker: ConstraintChecker) -> None:
    register(world, "t", READY, retry={"initial_interval": 60, "jitter": False})
    world.run_now()
    world.set("ready", True)
    checker.check()
    (claimed,) = world.claim()
    world.set("ready", False)
    world.end(claimed, BROKEN)
    world.clock.advance(MINUTE)
    world.do(ReleaseDelayed(10))

    checker.check()
    assert waits_for(world) == ["constraint:kv"]

    world.set("ready", True)
    checker.check()
    assert [again.attempt for again in world.claim()] == [2]


def test_a_retry_fails_when_it_cannot_come_in_time(
    world: World, checker: ConstraintChecker
) -> None:
    retry = {"initial_interval": 60, "jitter": False, "max_elapsed": "1h"}
    register(world, "t", {**READY, "deadline": "5m"}, retry=retry)
    world.run_now()
    world.set("ready", True)
    checker.check()
    world.end(world.claim()[0], BROKEN)
    world.set("ready", False)
    world.clock.advance(10 * MINUTE)
    world.do(ReleaseDelayed(10))

    assert checker.check() == NOON + HOUR
    assert waits_for(world) == ["constraint:kv"]
    world.clock.set(NOON + HOUR)
    checker.check()

    assert [(run.status, run.reason) for run in world.runs()] == [("failed", "deadline")]


def test_a_resumed_run_is_checked_again(world: World, checker: ConstraintChecker) -> None:
    register(world, "t", READY)
    world.run_now()
    checker.check()
    world.pause()
    world.set("ready", True)
    checker.check()
    assert waits_for(world) == ["paused"]

    world.resume()
    checker.check()

    assert waits_for(world) == ["queued"]


def test_runs_are_unblocked_when_their_constraints_are_removed(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "t", READY)
    world.run_now()
    checker.check()

    register(world, "t", on_conflict="update")
    checker.check()

    assert waits_for(world) == ["queued"]


def test_only_effects_that_concern_waiting_runs_wake_the_checker(
    world: World, checker: ConstraintChecker
) -> None:
    register(world, "t", {**READY, "task": "other"})
    register(world, "other")
    world.run_now()
    checker.check()

    def rings(*effects: Any) -> bool:
        checker._woken.clear()
        checker.committed(effects)
        return checker._woken.is_set()

    assert rings(RunsReady("default"), RunsConstrained())
    assert rings(KvWritten(world.task("other").id))
    assert not rings(RunsReady("default"), KvWritten(world.task("t").id))


def test_of_two_replicas_the_one_with_a_low_load_unblocks_runs(world: World) -> None:
    register(world, "t", CALM)
    world.run_now()

    checking(world, lambda: 0.9).check()
    assert waits_for(world) == ["constraint:max_load"]
    checking(world, lambda: 0.1).check()
    assert waits_for(world) == ["queued"]


def test_the_load_of_this_machine_is_per_processor() -> None:
    load = load_per_processor()

    assert load is not None
    assert 0 <= load < 1_000
