"""Handlers as rows, and the runs that wait for one."""

from datetime import timedelta

import pytest

from rota.db import tables
from rota.domain.effects import RunsReady
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import OnConflict
from rota.store.handlers import (
    Announce,
    HandlerInfo,
    ReconcileHandlers,
    find_handler,
    list_handlers,
)
from rota.store.tasks.lifecycle import Resume
from tests.support.factories import BROKEN, HOUR, NOON, World, change


def _info(name: str, **fields: object) -> HandlerInfo:
    facts: dict[str, object] = {
        "description": "does it",
        "input_schema": {"type": "object"},
        "timeout": timedelta(seconds=1.5),
        "isolation": "process",
    }
    return HandlerInfo(name=name, **facts | fields)  # type: ignore[arg-type]


def test_handlers_are_announced_and_announced_anew(world: World) -> None:
    world.do(Announce((_info("z"), _info("a"))))
    world.clock.advance(HOUR)
    world.do(Announce((_info("a", input_schema=None, timeout=None),)))

    names = [info.name for info in world.read(list_handlers)]
    kept, renewed = world.read(find_handler, "z"), world.read(find_handler, "a")
    assert names == ["a", "noop", "other", "z"]
    assert kept == _info("z", updated_at=NOON)
    assert renewed == _info("a", input_schema=None, timeout=None, updated_at=NOON + HOUR)
    assert world.read(find_handler, "unknown") is None


def test_announcing_nothing_changes_nothing(world: World) -> None:
    world.do(Announce(()))

    assert len(world.read(list_handlers)) == 2


@pytest.fixture
def orphaned(world: World) -> World:
    """A world whose task `t` has a queued run that no replica can execute."""
    world.register()
    world.run_now()
    with world.transaction() as tx:
        tx.connection.execute(tables.replica.delete())
    world.holder = world.enlist("other")
    world.effects.clear()
    return world


def test_runs_with_an_unknown_handler_wait_for_it(orphaned: World) -> None:
    assert orphaned.do(ReconcileHandlers()) == 1
    assert orphaned.do(ReconcileHandlers()) == 0

    (run,) = orphaned.runs()
    assert (run.status, run.waiting_on) == (RunStatus.BLOCKED, ("handler",))
    assert orphaned.claim() == []


def test_they_are_queued_again_when_it_is_back(orphaned: World) -> None:
    orphaned.do(ReconcileHandlers())
    orphaned.holder = orphaned.enlist("noop")

    assert orphaned.do(ReconcileHandlers()) == 1

    (run,) = orphaned.runs()
    assert (run.status, run.waiting_on) == (RunStatus.QUEUED, ())
    assert orphaned.effects == [RunsReady("default")]
    assert len(orphaned.claim()) == 1


def test_runs_of_paused_tasks_are_none_of_its_business(orphaned: World) -> None:
    orphaned.pause()
    orphaned.enlist("noop")

    assert orphaned.do(ReconcileHandlers()) == 0
    assert orphaned.runs()[0].waiting_on == ("paused",)


def test_waiting_runs_follow_the_task_to_its_new_handler(world: World) -> None:
    world.register(overlap_policy="allow")
    world.run_now()

    world.registration(on_conflict=OnConflict.UPDATE, handler="other", overlap_policy="allow")

    (claimed,) = world.claim(handlers=("other",))
    assert claimed.handler == claimed.definition.handler == "other"


def test_a_new_handler_that_is_known_frees_the_runs_that_waited_for_the_old_one(
    orphaned: World,
) -> None:
    orphaned.do(ReconcileHandlers())

    orphaned.registration(on_conflict=OnConflict.UPDATE, handler="other")

    assert orphaned.runs()[0].status is RunStatus.QUEUED
    assert RunsReady("default") in orphaned.effects


def test_waiting_runs_are_blocked_by_a_new_unknown_handler(world: World) -> None:
    world.do(Announce((_info("absent"),)))
    world.register()
    world.run_now()

    world.registration(on_conflict=OnConflict.UPDATE, handler="absent")

    (waiting,) = world.runs()
    assert (waiting.status, waiting.waiting_on) == (RunStatus.BLOCKED, ("handler",))


def test_a_running_run_keeps_the_handler_that_it_was_started_with(world: World) -> None:
    world.register()
    running = world.start()

    world.registration(on_conflict=OnConflict.UPDATE, handler="other")

    assert world.succeed(running).status is RunStatus.SUCCEEDED


def test_a_retry_goes_by_the_handler_that_the_task_has_then(world: World) -> None:
    world.register(retry={"max_attempts": 2, "initial_interval": 0})
    running = world.start()
    world.registration(on_conflict=OnConflict.UPDATE, handler="other")

    world.end(running, BROKEN)

    (again,) = world.claim()
    assert again.handler == again.definition.handler == "other"


def test_a_resumed_run_waits_for_its_unknown_handler(orphaned: World) -> None:
    orphaned.do(ReconcileHandlers())
    orphaned.pause()

    orphaned.do(Resume(change()))

    (waiting,) = orphaned.runs()
    assert (waiting.status, waiting.waiting_on) == (RunStatus.BLOCKED, ("handler",))
