"""Requests of a successful run besides its kv: registrations, and the next fire time of its task."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rota.db import tables
from rota.domain.effects import DueSooner
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import Succeeded
from rota.domain.runs.settlement import Settlement
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.registration import TaskRegistration, read_registration
from rota.errors import LeaseLost, NotFound
from rota.store.handlers import Announce, HandlerInfo
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World, finish, success, together

MANUAL = {"type": "manual"}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def wish(name: str = "new", **fields: Any) -> TaskRegistration:
    return read_registration({"name": name, "handler": "noop", "schedule": MANUAL} | fields)


def wishing(claimed: ClaimedRun, *wishes: TaskRegistration, **entries: Any) -> Succeeded:
    return replace(success(claimed, **entries), registrations=wishes)


@pytest.fixture
def claimed(world: World) -> ClaimedRun:
    world.register(schedule=MANUAL)
    return world.start()


def refused(world: World, made: Settlement, claimed: ClaimedRun) -> str:
    """Check that nothing of the attempt was kept, and that it will be tried again; return the kind of its error."""
    assert made.error is not None
    assert world.run(claimed.id).status is RunStatus.QUEUED
    assert world.run(claimed.id).failures == 1
    assert world.entries() == {}
    return made.error.type


def test_a_registration_is_made_with_the_success(world: World, claimed: ClaimedRun) -> None:
    hourly = {"type": "interval", "every": "1h"}
    made = wish(schedule=hourly, input={"a": 5.0}, tags=["child"], paused=True)

    world.end(claimed, wishing(claimed, made, wish("other"), cursor=1))

    assert world.run(claimed.id).status is RunStatus.SUCCEEDED
    assert world.entries() == {"cursor": 1}
    task = world.task("new")
    assert (task.status, task.next_fire_at) == (TaskStatus.PAUSED, NOON + HOUR)
    assert repr(task.definition.input) == "{'a': 5.0}"
    assert task.status_changed_by == f"run:{claimed.id}"
    assert world.task("other").status is TaskStatus.ACTIVE


def test_a_registration_reports_when_it_is_due(world: World, claimed: ClaimedRun) -> None:
    soon = {"type": "once", "delay": "5s"}

    world.end(claimed, wishing(claimed, wish(schedule=soon)))

    assert DueSooner(NOON + timedelta(seconds=5)) in world.effects


@pytest.mark.parametrize("lost", [BROKEN, None])
def test_nothing_is_registered_without_the_success(
    world: World, claimed: ClaimedRun, lost: Any
) -> None:
    if lost is None:
        with pytest.raises(LeaseLost):
            world.end(claimed, wishing(claimed, wish()), holder=world.enlist())
    else:
        world.end(claimed, lost)

    with pytest.raises(NotFound):
        world.task("new")


def test_a_kv_conflict_registers_nothing(world: World, claimed: ClaimedRun) -> None:
    world.set("cursor", 9)

    made = world.end(claimed, wishing(claimed, wish(), cursor=1))

    assert made.outcome == "conflict"
    assert world.count(tables.task) == 1


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (wish("t", on_conflict="reject"), "register.conflict", "There is a task 't' already"),
        (wish(handler="missing"), "register.invalid", "no handler is called 'missing'"),
        (wish(handler="strict", input={"n": "x"}), "register.invalid", "/input/n: "),
        (
            wish(handler="notify.slack", input={}),
            "register.invalid",
            "/input: give either `url` or `url_secret`",
        ),
        (
            wish(schedule={"type": "once", "at": "2001-01-01T00:00:00Z"}),
            "register.invalid",
            "/schedule/at: ",
        ),
    ],
)
def test_a_refused_registration_fails_the_attempt_and_keeps_nothing_of_it(
    world: World, claimed: ClaimedRun, wrong: TaskRegistration, kind: str, message: str
) -> None:
    strict = HandlerInfo(
        name="strict", description="", input_schema=SCHEMA, timeout=None, isolation="none"
    )
    world.do(Announce((strict, replace(strict, name="notify.slack"))))

    made = world.end(claimed, wishing(claimed, wish("before"), wrong, wish("behind"), cursor=1))

    assert refused(world, made, claimed) == kind
    assert made.error is not None
    assert message in made.error.message
    assert world.count(tables.task) == 1


def test_a_refused_registration_leaves_its_neighbours_alone(world: World) -> None:
    for name in ("a", "b", "c"):
        world.register(name, schedule=MANUAL)
    runs = [world.start(name) for name in ("a", "b", "c")]
    wishes = [wish("new-a"), wish("a", on_conflict="reject"), wish("new-c")]
    commands = [
        finish(run, wishing(run, made, cursor=1), holder=world.holder)
        for run, made in zip(runs, wishes, strict=True)
    ]

    answers = [answer.result().status for answer in together(world.writer, commands)]

    assert answers == [RunStatus.SUCCEEDED, RunStatus.QUEUED, RunStatus.SUCCEEDED]
    assert [world.entries(name) for name in "abc"] == [{"cursor": 1}, {}, {"cursor": 1}]
    assert {world.task(name).name for name in ("new-a", "new-c")} == {"new-a", "new-c"}


def test_runs_of_one_group_may_register_the_same_name(world: World) -> None:
    for name in ("a", "b"):
        world.register(name, schedule=MANUAL)
    runs = [world.start(name) for name in ("a", "b")]
    commands = [
        finish(run, wishing(run, wish(priority=index)), holder=world.holder)
        for index, run in enumerate(runs)
    ]

    answers = [answer.result().status for answer in together(world.writer, commands)]

    assert answers == [RunStatus.SUCCEEDED] * 2
    task = world.task("new")
    assert (task.definition.priority, task.generation) == (1, 2)


def test_a_registration_takes_the_timeout_of_the_handler(world: World, claimed: ClaimedRun) -> None:
    quick = timedelta(seconds=7)
    info = HandlerInfo(
        name="quick", description="", input_schema=None, timeout=quick, isolation="none"
    )
    world.do(Announce((info,)))
    wishes = (wish("a", handler="quick"), wish("b", handler="quick", timeout=20))

    world.end(claimed, wishing(claimed, *wishes))

    assert world.task("a").definition.timeout == quick
    assert world.task("b").definition.timeout == timedelta(seconds=20)


@pytest.mark.parametrize("on_conflict", ["update", "replace"])
def test_a_run_may_register_its_own_task_anew(
    world: World, claimed: ClaimedRun, on_conflict: str
) -> None:
    hourly = {"type": "interval", "every": "1h"}

    made = world.end(
        claimed, wishing(claimed, wish("t", schedule=hourly, on_conflict=on_conflict), cursor=1)
    )

    assert made.status is RunStatus.SUCCEEDED
    task = world.task()
    assert (task.next_fire_at, task.generation) == (NOON + HOUR, 2)
    assert task.last_run is not None
    assert task.last_run.id == claimed.id
    assert world.entries() == {"cursor": 1}


def test_a_run_may_set_when_its_task_fires_next_once(world: World) -> None:
    world.register()
    claimed = world.start()
    at = NOON + timedelta(seconds=90)

    world.end(claimed, replace(success(claimed), next_fire=at))

    assert world.task().next_fire_at == at
    assert DueSooner(at) in world.effects
    world.clock.set(at)
    world.fire()
    assert [run.scheduled_for for run in world.runs() if run.trigger == "schedule"] == [at]
    assert world.task().next_fire_at == NOON + 2 * MINUTE


def test_a_completed_task_fires_again_if_its_run_sets_the_next_fire_time(
    world: World,
) -> None:
    world.register(schedule={"type": "once", "at": NOON.isoformat()})
    world.fire()
    assert world.task().status is TaskStatus.COMPLETED
    (claimed,) = world.claim()

    world.end(claimed, replace(success(claimed), next_fire=NOON + HOUR))

    task = world.task()
    assert (task.status, task.next_fire_at) == (TaskStatus.ACTIVE, NOON + HOUR)


def test_a_task_without_fire_times_may_be_given_one(world: World, claimed: ClaimedRun) -> None:
    world.end(claimed, replace(success(claimed), next_fire=NOON + HOUR))

    world.clock.set(NOON + HOUR)
    world.fire()
    assert [run.scheduled_for for run in world.runs()] == [NOON, NOON + HOUR]
    assert (world.task().status, world.task().next_fire_at) == (TaskStatus.ACTIVE, None)


def test_a_failure_sets_no_fire_time(world: World) -> None:
    world.register()
    claimed = world.start()
    world.set("cursor", 1)

    wanted = replace(success(claimed, cursor=2), next_fire=NOON + HOUR)
    assert world.end(claimed, wanted).outcome == "conflict"

    assert world.task().next_fire_at == NOON + MINUTE


def test_a_cancelled_task_does_not_fire_even_if_its_run_sets_the_next_fire_time(
    world: World,
) -> None:
    world.register()
    claimed = world.start()
    world.cancel()

    made = world.end(claimed, replace(success(claimed), next_fire=NOON + HOUR))

    assert made.status is RunStatus.SUCCEEDED
    task = world.task()
    assert task.status is TaskStatus.CANCELLED
