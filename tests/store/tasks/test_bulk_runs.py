"""The bulk verb `run`: it does what running each task by itself does, in one write."""

from typing import Any

import pytest
from sqlalchemy import select, update

from rota.db import tables
from rota.domain.policies import OverlapPolicy
from rota.errors import AppError
from rota.store.task_rows import TaskFilter
from rota.store.tasks import bulk_runs
from rota.store.tasks.bulk import Batch, DoEach
from rota.store.tasks.bulk_runs import RunEach
from rota.store.tasks.run_commands import RunNow
from tests.support.factories import World

MANUAL: dict[str, Any] = {"schedule": {"type": "manual"}}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NAMES = ("cancelled", "held", "idle", "late", "paused", "queued", "running", "two")


def prepare(world: World, prefix: str, policy: str) -> list[str]:
    """Register tasks with each kind of unfinished runs; return their names."""
    names = {name: f"{prefix}-{name}" for name in NAMES}
    for name in names.values():
        late = {"on_late": {"after": "5m", "task": "sink"}} if name.endswith("-late") else {}
        world.register(name, **MANUAL, overlap_policy=policy, queue=prefix, **late)
    world.run_now(names["running"])
    world.claim(queue=prefix)
    for name in ("queued", "two", "held"):
        world.run_now(names[name])
    if policy != "skip":
        world.run_now(names["two"])
    block_by_hold(world, names["held"])
    world.pause(names["paused"])
    world.cancel(names["cancelled"])
    return list(names.values())


def block_by_hold(world: World, name: str) -> None:
    """Let the run of a task wait for the end of a hold."""
    of_task = tables.run.c.id == world.runs(name)[0].id
    with world.transaction() as tx:
        held = update(tables.run).where(of_task)
        tx.connection.execute(held.values(status="blocked", waiting_on='["hold"]'))


def run_all(world: World, wanted: TaskFilter, **fields: Any) -> Batch:
    return world.do(DoEach(verb=RunEach(TRACE), wanted=wanted, **fields))


def seen(world: World, name: str) -> list[tuple[Any, ...]]:
    """Return what the runs of a task are, the newest first, with the places of those that they wait for."""
    runs = world.runs(name)
    places = {f"overlap:{run.id}": f"overlap:{place}" for place, run in enumerate(runs)}
    return [
        (
            run.status,
            run.reason,
            run.trigger,
            run.scheduled_for,
            run.cancel_requested_at,
            run.traceparent,
            [places.get(each, each) for each in run.waiting_on or ()],
        )
        for run in runs
    ]


def checked_at(world: World, name: str) -> Any:
    return world.read(
        lambda connection: connection.execute(
            select(tables.task.c.alert_check_at).where(tables.task.c.name == name)
        ).scalar_one()
    )


@pytest.mark.parametrize("policy", OverlapPolicy)
def test_each_task_runs_or_is_refused_as_by_itself(world: World, policy: OverlapPolicy) -> None:
    world.register("sink", **MANUAL)
    together, alone = prepare(world, "a", policy), prepare(world, "b", policy)
    refused: list[str] = []
    for name in alone:
        try:
            world.do(RunNow(task=name, traceparent=TRACE))
        except AppError as error:
            refused.append(f"{name[2:]}: {error.slug}")

    dry = run_all(world, TaskFilter(name_prefix="a-"), dry_run=True)
    done = run_all(world, TaskFilter(name_prefix="a-"))

    assert [f"{each.task[2:]}: {each.slug}" for each in done.refused] == refused
    assert (dry.changed, dry.refused, list(dry.ran)) == (done.changed, done.refused, [])
    assert (done.matched, done.changed) == (len(NAMES), len(NAMES) - len(refused))
    assert {*done.ran} | {each.task for each in done.refused} == set(together)
    assert [seen(world, name) for name in together] == [seen(world, name) for name in alone]
    assert checked_at(world, "a-late") == checked_at(world, "b-late") is not None


def test_a_task_that_skips_on_overlap_is_refused_with_its_unfinished_run(world: World) -> None:
    world.register("t", **MANUAL)
    busy = world.run_now("t")
    with pytest.raises(AppError) as alone:
        world.run_now("t")

    [refused] = run_all(world, TaskFilter()).refused

    assert (refused.task, refused.detail) == ("t", alone.value.detail)
    assert busy.id in refused.detail


def test_a_write_makes_runs_of_so_many_tasks_as_have_inputs_of_a_mebibyte(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_runs, "MOST_BYTES", 100)
    for name in ("a", "b", "c", "d", "e"):
        world.register(name, **MANUAL, input={"text": "x" * 60})

    first = run_all(world, TaskFilter())
    second = run_all(world, TaskFilter(), after=first.last)
    third = run_all(world, TaskFilter(), after=second.last)

    assert [each.ran for each in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert (second.last, third.last) == ("d", None)
    assert [len(world.runs(name)) for name in ("a", "e")] == [1, 1]
