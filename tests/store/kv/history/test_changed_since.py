"""What has changed in a table since a revision."""

import pytest

from rota.store.kv.history import changed_since
from rota.store.kv.history.changed_since import entries_changed_since
from rota.store.kv.history.reading import HistoricEntry
from tests.support.factories import World, delete_entry


def changes(world: World, revision: int) -> list[HistoricEntry]:
    owner = world.task().id
    return world.read(
        lambda connection: [*entries_changed_since(connection, owner, revision)],
    )


def test_what_was_written_or_removed_since_is_found_and_nothing_else(world: World) -> None:
    world.register()
    for key in ("changed", "gone", "long-gone", "same"):
        world.set(key, 0)
    world.do(delete_entry("t", "long-gone"))
    revision = 5

    world.set("changed", 1)
    world.set("new", 1)
    world.do(delete_entry("t", "gone"))

    found = {each.key: each for each in changes(world, revision)}
    assert list(found) == ["changed", "gone", "new"]
    assert (found["changed"].version.version, found["changed"].present) == (1, 6)
    assert (found["gone"].version.version, found["gone"].present) == (2, None)
    assert (found["new"].version, found["new"].present) == (None, 7)
    assert changes(world, 8) == []


def test_what_the_history_does_not_reach_back_to_is_reported(world: World) -> None:
    world.register(kv_history=1)
    for number in range(3):
        world.set("a", number)

    [found] = changes(world, 1)

    assert (found.key, found.known, found.present) == ("a", False, 3)


def test_many_changes_are_read_some_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed_since, "_TOGETHER", 2)
    world.register()
    keys = [f"k{number}" for number in range(5)]
    for key in keys:
        world.set(key, 1)
    world.do(delete_entry("t", "k2"))

    assert [each.key for each in changes(world, 0)] == keys
    assert [each.present for each in changes(world, 0)] == [1, 2, None, 4, 5]


def test_changes_that_are_far_apart_are_found_among_what_has_not_changed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed_since, "_TOGETHER", 2)
    world.register()
    keys = [f"k{number:02}" for number in range(20)]
    for key in keys:
        world.set(key, 1)
    for key in (*keys[::7], keys[1]):
        world.set(key, 2)

    found = changes(world, 20)

    assert [each.key for each in found] == ["k00", "k01", "k07", "k14"]
    assert [each.version.version for each in found] == [1, 2, 8, 15]
