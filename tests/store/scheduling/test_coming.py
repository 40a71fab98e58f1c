"""The tasks that are due next: the same ones, whether they are looked up one by one or met among those that are due."""

import pytest

from rota.domain.access.names import NameLimit
from rota.store.scheduling import coming
from rota.store.scheduling.coming import TasksMeant, due_next
from tests.support.factories import DAY, HOUR, NOON, World, once

CASES = [
    (TasksMeant(), ["ours-1", "theirs-1", "ours-2"]),
    (TasksMeant(tags=("a",)), ["ours-1", "theirs-1"]),
    (TasksMeant(tags=("a", "b")), ["ours-1", "theirs-1", "ours-2"]),
    (TasksMeant(tags=("c",)), []),
    (TasksMeant(names=("ours-2", "paused", "absent")), ["ours-2"]),
    (TasksMeant(limit=NameLimit(("ours-",))), ["ours-1", "ours-2"]),
    (TasksMeant(tags=("a",), limit=NameLimit(("ours-",))), ["ours-1"]),
    (TasksMeant(names=("theirs-1",), limit=NameLimit(("ours-",))), []),
    (TasksMeant(limit=NameLimit(("absent-",))), []),
]


@pytest.fixture
def filled(world: World) -> World:
    for place, (name, tags) in enumerate(
        [("ours-1", ["a"]), ("theirs-1", ["a", "b"]), ("ours-2", ["b"]), ("later", ["a"])], 1
    ):
        at = NOON + (place * HOUR if name != "later" else 3 * DAY)
        world.register(name, schedule=once(at), tags=tags, input="x" * 100)
    world.register("paused", schedule=once(NOON + HOUR), tags=["a"])
    world.pause("paused")
    world.register("manual", schedule={"type": "manual"}, tags=["a"])
    return world


@pytest.mark.parametrize("few", [0, 2_000])
def test_tasks_that_are_due_next_are_read_in_the_order_of_time(
    filled: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(coming, "_FEW", few)
    for wanted, names in CASES:
        found = filled.read(due_next, wanted, NOON + DAY, 10)

        assert [task.name for task in found] == names
        assert all(task.definition.input is None for task in found)
        assert [task.name for task in filled.read(due_next, wanted, NOON + DAY, 1)] == names[:1]
