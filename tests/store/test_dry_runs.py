"""Dry runs of registrations: they decide as the real ones do, and leave nothing behind."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from rota.db import tables
from rota.db.command import Command
from rota.domain.tasks.definition import OnConflict, Registered, TaskStatus
from rota.errors import Conflict, Invalid
from rota.store.dry_runs import DryRun, One, WouldRegister
from rota.store.tasks.registration import Register, RegisterAll
from tests.support.factories import World, define, together

#: Of a task: its id and its times of creation are made anew.
_COMPARED = ("status", "generation", "definition", "next_fire_at", "fired", "anchored_at")
HOURLY: dict[str, Any] = {"type": "interval", "every": "1h"}


def everything(world: World) -> dict[str, list[str]]:
    """Return all rows."""
    with world.database.read() as connection:
        return {
            name: sorted(map(repr, connection.execute(select(table)).all()))
            for name, table in tables.metadata.tables.items()
        }


def register(name: str = "t", **fields: Any) -> Register:
    given = {"on_conflict": OnConflict.UPDATE, "by": "ann"} | {
        key: fields.pop(key) for key in ("on_conflict", "paused") if key in fields
    }
    return Register(name=name, definition=define(**fields), **given)


def try_out(world: World, *items: Register) -> list[WouldRegister]:
    """Make a dry run, and check that it leaves no trace."""
    before, effects = everything(world), len(world.effects)
    command: Command[Any] = One(items[0]) if len(items) == 1 else RegisterAll(items)
    try:
        return world.do(DryRun(command, items, 100))
    finally:
        assert everything(world) == before
        assert len(world.effects) == effects


def _as(world: World, name: str, status: str) -> None:
    """Make a task with a run and a status; none, if that is `absent`."""
    if status == "absent":
        return
    world.register(name)
    world.run_now(name)
    if status == "paused":
        world.pause(name, reason="holiday")
    if status == "cancelled":
        world.cancel(name)


def refusal_of(call: Callable[[], Any]) -> tuple[str, str] | None:
    """Return how a call is refused; None, if it is not."""
    try:
        call()
    except Conflict as refused:
        return refused.slug, refused.detail
    return None


@pytest.mark.parametrize("status", ["absent", "active", "paused", "cancelled"])
def test_a_dry_run_decides_as_the_registration_that_follows_it(world: World, status: str) -> None:
    for on_conflict in OnConflict:
        name = f"t-{on_conflict}"
        _as(world, name, status)
        command = register(name, on_conflict=on_conflict, schedule=HOURLY, tags=["new"])

        tried, made = [], []
        refused = refusal_of(lambda: tried.extend(try_out(world, command)))  # noqa: B023
        assert refusal_of(lambda: made.append(world.do(command))) == refused  # noqa: B023

        for would, real in zip(tried, made, strict=True):
            assert would.made.outcome is real.outcome
            for each in _COMPARED:
                assert getattr(would.made.task, each) == getattr(real.task, each)
            changed = real.outcome is not Registered.KEPT
            assert ("/tags" in [each.path for each in would.changes]) == changed


def test_a_batch_is_refused_as_a_whole_and_points_at_the_item(world: World) -> None:
    world.register("there")
    items = [register("new"), register("there", on_conflict=OnConflict.REJECT)]

    with pytest.raises(Conflict) as refused:
        try_out(world, *items)

    assert [fault.pointer for fault in refused.value.faults] == ["/items/1/name"]


def test_a_replacement_that_is_tried_out_cancels_no_run(world: World) -> None:
    world.register(schedule=HOURLY)
    run = world.run_now()
    world.pause()

    [would] = try_out(world, register(on_conflict=OnConflict.REPLACE, schedule=HOURLY))

    assert would.made.outcome is Registered.REPLACED
    assert would.made.task.status is TaskStatus.PAUSED
    assert world.run(run.id).finished_at is None


def test_what_shares_a_commit_with_a_dry_run_is_kept(world: World) -> None:
    tried = register("tried")
    commands: list[Command[Any]] = [
        register("first"),
        DryRun(One(tried), (tried,), 1),
        register("second"),
        DryRun(One(register("first", schedule={"type": "after", "tasks": ["first"]})), (tried,), 1),
    ]

    answers = together(world.writer, commands)

    assert [answer.error is None for answer in answers[:3]] == [True, True, True]
    assert isinstance(answers[3].error, Invalid | None)
    assert {each.name for each in (world.task("first"), world.task("second"))} == {
        "first",
        "second",
    }
    assert world.count(tables.task, tables.task.c.name == "tried") == 0
