"""Definitions that this version cannot read: their tasks are paused and shown, and affect no others."""

import pytest
from sqlalchemy import update

from rota.db import tables
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.fire_times import next_fire
from rota.domain.tasks.definition import OnConflict, TaskStatus
from rota.errors import Unplannable
from rota.store.definitions import read_definition
from rota.store.task_rows import TaskFilter, list_tasks
from rota.store.tasks.lifecycle import Delete, Resume
from tests.support.factories import HOUR, NOON, World, change

STORED = {
    "a field of a later version": '{"handler":"noop","schedule":{"type":"manual"},"mood":[1],"priority":7}',
    "a schedule of a later version": '{"handler":"noop","schedule":{"type":"lunar"},"priority":7}',
    "a value that is refused now": '{"handler":"noop","schedule":{"type":"manual"},"timeout":0,"priority":7}',
}


def _spoil(world: World, definition: str, name: str = "t") -> None:
    with world.transaction() as tx:
        tx.connection.execute(
            update(tables.task).where(tables.task.c.name == name).values(definition=definition)
        )


@pytest.mark.parametrize("definition", STORED.values(), ids=STORED)
def test_readable_fields_are_kept_and_the_schedule_names_the_others(definition: str) -> None:
    read = read_definition(definition)

    assert (read.handler, read.priority) == ("noop", 7)
    assert isinstance(read.schedule, Unreadable)
    with pytest.raises(Unplannable):
        next_fire(read.schedule, Anchor(NOON), NOON)


@pytest.mark.parametrize("definition", ["", "[", '{"target":{}}', '{"handler":"http"}'])
def test_a_definition_that_is_no_definition_at_all_can_be_read(definition: str) -> None:
    assert isinstance(read_definition(definition).schedule, Unreadable)


def test_an_unreadable_task_is_seen_replaced_and_deleted(world: World) -> None:
    world.register("t")
    world.register("u")
    _spoil(world, STORED["a schedule of a later version"])

    listed = world.read(list_tasks, TaskFilter(), "", 9)
    declared = world.registration("t", on_conflict=OnConflict.UPDATE)
    _spoil(world, "", "u")
    world.do(Delete(change("u")))

    assert [task.name for task in listed] == ["t", "u"]
    assert (declared.task.status, declared.task.generation) == (TaskStatus.ACTIVE, 2)
    assert [task.name for task in world.read(list_tasks, TaskFilter(), "", 9)] == ["t"]


def test_its_runs_neither_stop_the_queue_nor_are_they_lost(world: World) -> None:
    world.register("t")
    world.register("u")
    world.run_now("t")
    _spoil(world, STORED["a value that is refused now"])

    claimed = world.start("u")

    assert world.succeed(claimed).status is RunStatus.SUCCEEDED


def test_it_cannot_be_resumed(world: World) -> None:
    world.register("t")
    world.pause()
    _spoil(world, STORED["a schedule of a later version"])
    world.clock.advance(HOUR)

    with pytest.raises(Unplannable):
        world.do(Resume(change()))


def test_without_a_fire_time_it_cannot_be_resumed_either(world: World) -> None:
    world.register("t", schedule={"type": "manual"})
    world.pause()
    _spoil(world, STORED["a schedule of a later version"])

    with pytest.raises(Unplannable):
        world.do(Resume(change()))

    assert world.task().status is TaskStatus.PAUSED


def test_one_that_counts_from_the_end_of_its_run_is_due_when_that_has_ended(world: World) -> None:
    """The firing pass pauses it: what cannot be read is not over."""
    world.register("t", schedule={"type": "interval", "every": "10m", "mode": "fixed_delay"})
    world.clock.advance(HOUR)
    world.fire()
    claimed = world.claim()[0]
    _spoil(world, STORED["a schedule of a later version"])

    world.succeed(claimed)

    assert (world.task().status, world.task().next_fire_at) == (TaskStatus.ACTIVE, world.now)
