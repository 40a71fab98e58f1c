"""What a registration makes of the task that has its name: API.md's table, cell by cell."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from rota.domain.effects import DueSooner, TaskChanged, TaskEvent
from rota.domain.primitives.preconditions import Precondition
from rota.domain.reasons import CancelReason
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import Applied, OnConflict, Registered, TaskStatus
from rota.errors import Conflict, Invalid, PreconditionFailed
from rota.store.task_rows import TaskFilter, list_tasks
from rota.store.tasks.registration import Register, RegisterAll
from tests.support.backfills import begin
from tests.support.factories import BROKEN, DAY, HOUR, MINUTE, NOON, World, define, once, together
from tests.support.factories import ended as _ended

ALIVE = ("active", "paused")
OVER = ("completed", "cancelled")
EVERY_HOUR: dict[str, Any] = {"schedule": {"type": "interval", "every": "1h"}}


def _active(world: World) -> None:
    world.register()
    world.run_now()


def _paused(world: World) -> None:
    _active(world)
    world.pause(reason="holiday")


def _completed(world: World) -> None:
    world.register(schedule=once(NOON + HOUR))
    world.clock.advance(HOUR)
    world.fire()


def _cancelled(world: World) -> None:
    world.register()
    world.cancel()


BECOME: dict[str, Callable[[World], None]] = {
    "active": _active,
    "paused": _paused,
    "completed": _completed,
    "cancelled": _cancelled,
}


@pytest.fixture
def existing(world: World, request: pytest.FixtureRequest) -> World:
    """A world whose task `t` has a kv entry, a run where it can have one, and the given status."""
    BECOME[request.param](world)
    if world.task().status is not TaskStatus.CANCELLED:
        world.set("cursor", 7)
    assert world.task().status == request.param
    return world


def every_status(*statuses: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("existing", statuses, indirect=True)


def test_a_new_task_is_active_and_due_after_its_interval(world: World) -> None:
    made = world.registration(by="ann")

    assert made.outcome is Registered.CREATED
    assert made.task == world.task()
    assert (made.task.status, made.task.generation) == (TaskStatus.ACTIVE, 1)
    assert made.task.next_fire_at == NOON + MINUTE
    assert made.task.status_changed_by == "ann"
    created = TaskChanged(made.task.id, TaskEvent.CREATED, "ann")
    assert world.effects == [created, DueSooner(NOON + MINUTE)]


def test_a_new_task_can_be_paused_from_the_start(world: World) -> None:
    made = world.registration(paused=True)

    world.clock.advance(HOUR)
    world.fire()

    assert made.task.status is TaskStatus.PAUSED
    assert world.effects == [TaskChanged(made.task.id, TaskEvent.CREATED, "local")]
    assert world.runs() == []


@every_status(*ALIVE, *OVER)
def test_reject_refuses_a_taken_name_and_shows_the_existing_task(existing: World) -> None:
    before = existing.task()

    with pytest.raises(Conflict) as refused:
        existing.registration(**EVERY_HOUR)

    assert refused.value.slug == "task-exists"
    assert refused.value.present["task"]["generation"] == before.generation
    assert existing.task() == before


@every_status(*ALIVE)
@pytest.mark.parametrize(("fields", "differs"), [({}, False), (EVERY_HOUR, True)])
def test_keep_leaves_a_live_task_and_reports_whether_it_differs(
    existing: World, fields: Any, differs: bool
) -> None:
    before = existing.task()

    kept = existing.registration(on_conflict=OnConflict.KEEP, **fields)

    assert (kept.outcome, kept.differs) == (Registered.KEPT, differs)
    assert kept.task == before == existing.task()


@pytest.mark.parametrize("stage", ["queued", "running", "retrying"])
def test_keep_leaves_a_completed_task_alone_whose_run_is_unfinished(
    world: World, stage: str
) -> None:
    world.register(schedule=once(NOON), retry={"max_attempts": 2})
    world.fire()
    for claimed in world.claim() if stage != "queued" else []:
        if stage == "retrying":
            world.end(claimed, BROKEN)
    before, (made,) = world.task(), world.runs()

    kept = world.registration(on_conflict=OnConflict.KEEP, schedule=once(NOON + HOUR))

    assert before.status is TaskStatus.COMPLETED
    assert (kept.outcome, kept.differs, kept.task) == (Registered.KEPT, True, before)
    assert world.run(made.id) == made


def test_keep_leaves_a_completed_task_alone_that_has_a_backfill_to_make(world: World) -> None:
    world.register(schedule={"type": "interval", "every": 60, "max_runs": 1})
    world.clock.advance(MINUTE)
    world.fire()
    for claimed in world.claim():
        world.succeed(claimed)
    begin(world, minutes=1)
    before = world.task()

    kept = world.registration(on_conflict=OnConflict.KEEP, **EVERY_HOUR)

    assert before.status is TaskStatus.COMPLETED
    assert (kept.outcome, kept.task) == (Registered.KEPT, before)


@every_status(*OVER)
@pytest.mark.parametrize("policy", [OnConflict.KEEP, OnConflict.REPLACE])
def test_keep_and_replace_restart_an_ended_task(existing: World, policy: OnConflict) -> None:
    for claimed in existing.claim():
        existing.succeed(claimed)
    before = existing.task()

    made = existing.registration(on_conflict=policy, **EVERY_HOUR)

    assert made.outcome is Registered.REPLACED
    assert made.task.status is TaskStatus.ACTIVE
    assert made.task.generation == before.generation + 1
    assert made.task.id == before.id
    assert made.task.next_fire_at == existing.now + HOUR


@every_status(*ALIVE, *OVER)
def test_update_keeps_history_and_kv_and_leaves_work_alone(existing: World) -> None:
    before = existing.task()
    runs, entries = existing.runs(), existing.entries()

    made = existing.registration(on_conflict=OnConflict.UPDATE, **EVERY_HOUR)

    paused = before.status is TaskStatus.PAUSED
    assert made.outcome is Registered.UPDATED
    assert made.task == existing.task()
    assert made.task.status is (TaskStatus.PAUSED if paused else TaskStatus.ACTIVE)
    assert made.task.generation == before.generation + 1
    assert made.task.next_fire_at == existing.now + HOUR
    assert existing.runs() == runs
    assert existing.entries() == entries


@every_status(*ALIVE, "completed")
def test_replace_cancels_unfinished_runs_and_keeps_history_and_kv(existing: World) -> None:
    before = existing.task()
    (waiting,) = existing.runs()
    existing.effects.clear()

    made = existing.registration(on_conflict=OnConflict.REPLACE)

    ended = existing.run(waiting.id)
    paused = before.status is TaskStatus.PAUSED
    assert made.outcome is Registered.REPLACED
    assert made.task.status is (TaskStatus.PAUSED if paused else TaskStatus.ACTIVE)
    assert made.task.anchored_at == existing.now
    assert (ended.status, ended.reason) == (RunStatus.CANCELLED, CancelReason.REPLACED)
    assert (waiting.id, before.id, "cancelled") in _ended(existing.effects)
    assert existing.entries() == {"cursor": 7}


def test_replace_asks_running_runs_to_end(world: World) -> None:
    world.register()
    running = world.start()

    world.registration(on_conflict=OnConflict.REPLACE)
    ended = world.end(running, BROKEN)

    assert (ended.status, ended.reason) == (RunStatus.CANCELLED, CancelReason.REPLACED)


def test_an_unchanged_registration_leaves_the_generation_and_the_row(world: World) -> None:
    before = world.register(timeout=3600, tags=["a", "b"])
    world.clock.advance(timedelta(seconds=30))
    world.effects.clear()

    same = world.registration(
        on_conflict=OnConflict.UPDATE, timeout="1h", tags=["a", "b", "a"], priority=0
    )

    assert same.outcome is Registered.UNCHANGED
    assert same.task == before == world.task()
    assert world.effects == []


def test_a_definition_whose_input_is_written_otherwise_is_unchanged(world: World) -> None:
    world.register(input={"n": 1, "items": [{"a": 1.0, "b": 2}]})

    same = world.registration(
        on_conflict=OnConflict.UPDATE, input={"items": [{"b": 2.0, "a": 1}], "n": 1.0}
    )

    assert (same.outcome, same.task.generation) == (Registered.UNCHANGED, 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"input": {"n": True}},
        {"input": {"n": "1"}},
        {"timeout": 61},
        {"priority": 1},
        {"tags": ["x"]},
        {"retry": {"max_attempts": 4}},
        {"overlap_policy": "allow"},
    ],
)
def test_any_difference_is_a_new_generation(world: World, changed: dict[str, Any]) -> None:
    world.register(input={"n": 1})

    made = world.registration(on_conflict=OnConflict.UPDATE, **{"input": {"n": 1}} | changed)

    assert (made.outcome, made.task.generation) == (Registered.UPDATED, 2)
    assert world.task() == made.task


def test_a_delay_counts_from_the_first_registration(world: World) -> None:
    delayed: dict[str, Any] = {"schedule": {"type": "once", "delay": "2h"}}
    world.register(**delayed)
    world.clock.advance(HOUR)

    again = world.registration(on_conflict=OnConflict.UPDATE, **delayed)
    edited = world.registration(on_conflict=OnConflict.UPDATE, **delayed, priority=5)

    assert again.outcome is Registered.UNCHANGED
    assert again.task.next_fire_at == edited.task.next_fire_at == NOON + 2 * HOUR
    assert edited.task.generation == 2


def test_a_new_definition_with_the_same_schedule_keeps_the_phase(world: World) -> None:
    world.register()
    world.clock.advance(timedelta(seconds=45))

    made = world.registration(on_conflict=OnConflict.UPDATE, description="better")

    assert made.task.next_fire_at == NOON + MINUTE


def test_replace_starts_the_schedule_anew(world: World) -> None:
    world.register()
    world.clock.advance(timedelta(seconds=45))

    made = world.registration(on_conflict=OnConflict.REPLACE)

    assert made.task.next_fire_at == world.now + MINUTE


def test_a_registration_with_paused_pauses_and_its_waiting_runs_wait(world: World) -> None:
    world.register()
    waiting = world.run_now()

    made = world.registration(on_conflict=OnConflict.UPDATE, paused=True)

    assert made.task.status is TaskStatus.PAUSED
    assert made.task.generation == 1
    assert world.run(waiting.id).waiting_on == ("paused",)


def test_a_cancelled_task_lives_again_by_the_same_registration(world: World) -> None:
    world.register()
    world.cancel()
    world.clock.advance(timedelta(seconds=150))

    made = world.registration(on_conflict=OnConflict.UPDATE)

    assert made.task.status is TaskStatus.ACTIVE
    assert made.task.next_fire_at == NOON + 3 * MINUTE
    assert world.task() == made.task


def test_a_completed_once_stays_completed_by_the_same_registration(world: World) -> None:
    _completed(world)
    before = world.task()

    made = world.registration(on_conflict=OnConflict.UPDATE, schedule=once(NOON + HOUR))

    assert made.outcome is Registered.UNCHANGED
    assert made.task == before


def test_a_registration_reports_that_a_running_run_uses_the_old_definition(world: World) -> None:
    world.register()
    world.start()

    made = world.registration(on_conflict=OnConflict.UPDATE, priority=1)

    assert made.applied is Applied.NEXT_RUN


def test_a_precondition_names_the_task_and_its_generation(world: World) -> None:
    before = world.register()
    update: dict[str, Any] = {"on_conflict": OnConflict.UPDATE, "priority": 1}

    with pytest.raises(PreconditionFailed):
        world.registration(expected=Precondition.exactly(before.id, 2), **update)
    made = world.registration(expected=Precondition.exactly(before.id, 1), **update)
    with pytest.raises(PreconditionFailed) as refused:
        world.registration(expected=Precondition.exactly(before.id, 1), **update)

    assert made.task.generation == 2
    assert refused.value.present["task"]["generation"] == 2


def test_a_precondition_on_a_task_that_is_not_there_fails(world: World) -> None:
    gone = world.register()
    world.delete()

    with pytest.raises(PreconditionFailed):
        world.registration(expected=Precondition.exactly(gone.id, 1))

    assert world.read(list_tasks, TaskFilter(), "", 9) == []


@every_status(*ALIVE, *OVER)
def test_create_only_never_changes_an_existing_task(existing: World) -> None:
    before = existing.task()

    with pytest.raises(PreconditionFailed):
        existing.registration(
            expected=Precondition.nothing(), on_conflict=OnConflict.UPDATE, **EVERY_HOUR
        )

    assert existing.task() == before


def test_a_once_in_the_recent_past_runs_at_once(world: World) -> None:
    made = world.register(schedule=once(NOON - 59 * MINUTE))

    world.fire()

    assert made.next_fire_at == NOON - 59 * MINUTE
    assert [run.status for run in world.runs()] == [RunStatus.QUEUED]
    assert world.task().status is TaskStatus.COMPLETED


@pytest.mark.parametrize("policy", [OnConflict.UPDATE, OnConflict.REPLACE])
def test_a_once_in_the_far_past_is_a_mistake(world: World, policy: OnConflict) -> None:
    long_past: dict[str, Any] = {"schedule": once(NOON - DAY)}

    with pytest.raises(Invalid) as refused:
        world.registration(**long_past)
    before = world.register()
    with pytest.raises(Invalid):
        world.registration(on_conflict=policy, **long_past)

    assert refused.value.faults[0].pointer == "/schedule/at"
    assert world.task() == before


def test_a_batch_is_registered_as_a_whole(world: World) -> None:
    world.register("old")
    items = tuple(
        Register(name=name, definition=define(), on_conflict=OnConflict.UPDATE)
        for name in ("a", "old", "b")
    )

    made = world.do(RegisterAll(items))

    assert [each.outcome.value for each in made] == ["created", "unchanged", "created"]
    assert [task.name for task in world.read(list_tasks, TaskFilter(), "", 9)] == ["a", "b", "old"]


def test_a_new_successor_is_not_notified_of_runs_that_its_batch_replaces(world: World) -> None:
    world.register("a", schedule={"type": "manual"})
    world.run_now("a")
    after = define(schedule={"type": "after", "tasks": ["a"]})
    items = (
        Register(name="b", definition=after),
        Register(
            name="a", definition=define(schedule={"type": "manual"}), on_conflict=OnConflict.REPLACE
        ),
    )

    world.do(RegisterAll(items))

    assert [run.status for run in world.runs("a")] == ["cancelled"]
    assert world.runs("b") == []


def test_a_fault_in_a_batch_leaves_nothing_and_points_at_its_item(world: World) -> None:
    world.register("old")
    items = (
        Register(name="a", definition=define()),
        Register(name="b", definition=define(schedule=once(NOON - DAY))),
        Register(name="old", definition=define()),
    )

    with pytest.raises(Invalid) as refused:
        world.do(RegisterAll(items))
    with pytest.raises(Conflict) as taken:
        world.do(RegisterAll((items[0], items[2])))

    assert refused.value.faults[0].pointer == "/items/1/schedule/at"
    assert taken.value.faults[0].pointer == "/items/1/name"
    assert [task.name for task in world.read(list_tasks, TaskFilter(), "", 9)] == ["old"]


def test_registrations_of_one_name_in_one_group_meet_each_other(world: World) -> None:
    first = Register(name="t", definition=define(), on_conflict=OnConflict.UPDATE)
    second = Register(name="t", definition=define(priority=1), on_conflict=OnConflict.UPDATE)
    third = Register(name="u", definition=define())

    answers = together(world.writer, [first, second, first, third])

    outcomes = [answer.result().outcome.value for answer in answers]
    assert outcomes == ["created", "updated", "updated", "created"]
    assert world.task().generation == 3
    assert world.task().definition == first.definition
    assert world.task("u").generation == 1


def test_a_refused_registration_does_not_fail_its_neighbours(world: World) -> None:
    world.register("taken")
    commands = [Register(name=name, definition=define()) for name in ("a", "taken", "b")]

    first, refused, last = together(world.writer, commands)

    assert first.result().outcome is last.result().outcome is Registered.CREATED
    assert isinstance(refused.exception(), Conflict)
    assert {world.task("a").generation, world.task("b").generation} == {1}


def test_tags_follow_the_definition(world: World) -> None:
    world.register(tags=["old", "both"])

    world.registration(on_conflict=OnConflict.UPDATE, tags=["both", "new"])

    def tagged(tag: str) -> list[str]:
        return [task.name for task in world.read(list_tasks, TaskFilter(tag=(tag,)), "", 9)]

    assert (tagged("old"), tagged("both"), tagged("new")) == ([], ["t"], ["t"])


def test_a_deleted_task_leaves_its_name_to_a_new_one(world: World) -> None:
    old = world.register()
    world.set("cursor", 1)
    world.delete()

    new = world.registration()

    assert new.outcome is Registered.CREATED
    assert new.task.id != old.id
    assert world.entries() == {}
