"""The key-value tables of tasks."""

from datetime import timedelta
from typing import Any

import pytest

from rota.db import tables
from rota.domain.primitives.preconditions import Precondition
from rota.errors import NotFound, PreconditionFailed
from rota.store.kv.entries import KvFilter, find_entry, list_entries, snapshot
from rota.store.kv.transactions import RemoveExpired
from tests.support.factories import HOUR, NOON, World, delete_entry, set_entry, together

SECOND = timedelta(seconds=1)


@pytest.fixture
def tabled(world: World) -> World:
    """A world with a task `t`."""
    world.register()
    return world


def _keys(world: World, **wanted: Any) -> list[str]:
    paging = {name: wanted.pop(name) for name in ("after", "limit") if name in wanted}
    found = world.read(list_entries, "t", KvFilter(**wanted), world.now, **{"limit": 99} | paging)
    return [entry.key for entry in found]


def _delete(world: World, key: str, **fields: Any) -> None:
    world.do(delete_entry("t", key, **fields))


def test_an_entry_comes_back_as_it_was_written(tabled: World) -> None:
    made = tabled.set("cursor", {"n": 5.0, "big": 10**30}, by="key:ann")

    owner, found = tabled.read(find_entry, "t", "cursor", NOON)

    assert owner == tabled.task().id
    assert found == made
    assert found.value == b'{"n":5.0,"big":1000000000000000000000000000000}'
    assert (found.version, found.updated_by) == (1, "key:ann")
    assert (found.updated_at, found.expires_at) == (NOON, None)


def test_a_write_reports_whether_the_entry_is_new(tabled: World) -> None:
    command = set_entry("t", "a", b"1", SECOND)

    news = [tabled.do(command).created]
    news.append(tabled.do(command).created)
    tabled.clock.advance(SECOND)
    news.append(tabled.do(command).created)

    assert news == [True, False, True]


def test_a_version_is_never_used_again(tabled: World) -> None:
    versions = [tabled.set("a", 1).version, tabled.set("b", 1).version]
    _delete(tabled, "a")
    versions.append(tabled.set("a", 1).version)
    tabled.succeed(tabled.start())
    versions.append(tabled.set("a", 1).version)

    assert versions == [1, 2, 4, 6]


def test_entries_of_other_tasks_are_others(tabled: World) -> None:
    tabled.register("u")
    tabled.set("a", "t")
    tabled.set("a", "u", "u")

    assert (tabled.entries("t"), tabled.entries("u")) == ({"a": "t"}, {"a": "u"})
    assert tabled.read(find_entry, "u", "a", NOON)[1].version == 1


@pytest.mark.parametrize("version", [None, 1, 3])
def test_a_write_can_demand_the_version_that_was_read(tabled: World, version: int | None) -> None:
    tabled.set("a", 1)
    tabled.set("a", 2)

    wrong = _demanding(tabled, version)

    with pytest.raises(PreconditionFailed) as refused:
        tabled.set("a", 3, expected=wrong)
    with pytest.raises(PreconditionFailed):
        _delete(tabled, "a", expected=wrong)

    assert refused.value.present == {"version": 2}
    assert tabled.entries() == {"a": 2}
    assert tabled.set("a", 3, expected=_demanding(tabled, 2)).version == 3


def _demanding(tabled: World, version: int | None) -> Precondition:
    if version is None:
        return Precondition.nothing()
    return Precondition.exactly(tabled.task().id, version)


def test_a_write_can_demand_that_nothing_is_there(tabled: World) -> None:
    absent = Precondition.nothing()

    tabled.set("a", 1, expected=absent)
    with pytest.raises(PreconditionFailed):
        tabled.set("a", 2, expected=absent)

    assert tabled.entries() == {"a": 1}


def test_a_version_of_another_task_of_the_name_does_not_match(tabled: World) -> None:
    old = tabled.task().id
    tabled.delete()
    tabled.register()
    tabled.set("a", 1)

    with pytest.raises(PreconditionFailed):
        tabled.set("a", 2, expected=Precondition.exactly(old, 1))


def test_an_expired_entry_is_not_there(tabled: World) -> None:
    tabled.set("short", 1, ttl=SECOND)
    tabled.set("long", 1, ttl=HOUR)
    tabled.clock.advance(SECOND)

    assert tabled.entries() == {"long": 1}
    with pytest.raises(NotFound):
        tabled.read(find_entry, "t", "short", tabled.now)
    with pytest.raises(NotFound):
        _delete(tabled, "short")
    assert tabled.set("short", 2, expected=Precondition.nothing()).expires_at is None


def test_writing_without_a_ttl_keeps_the_entry_for_good(tabled: World) -> None:
    tabled.set("a", 1, ttl=SECOND)
    tabled.set("a", 2)
    tabled.clock.advance(HOUR)

    assert tabled.entries() == {"a": 2}


def test_expired_entries_are_removed_in_bounded_steps(tabled: World) -> None:
    for number in range(5):
        tabled.set(f"k{number}", number, ttl=SECOND)
    tabled.set("kept", 1)
    tabled.clock.advance(SECOND)

    removed = [tabled.do(RemoveExpired(2)) for _ in range(4)]

    assert removed == [2, 2, 1, 0]
    assert tabled.count(tables.kv) == 1


def test_what_has_expired_is_removed_as_one_revision(tabled: World) -> None:
    for key in ("a", "b", "c"):
        tabled.set(key, 1, ttl=SECOND)
    tabled.clock.advance(SECOND)

    tabled.do(RemoveExpired(9))

    assert tabled.task().kv_revision == 4


def test_an_entry_that_was_renewed_is_not_removed(tabled: World) -> None:
    tabled.set("a", 1, ttl=SECOND)
    tabled.clock.advance(SECOND / 2)
    tabled.set("a", 2, ttl=SECOND)
    tabled.clock.advance(SECOND / 2)

    assert tabled.do(RemoveExpired(9)) == 0
    assert tabled.entries() == {"a": 2}


def test_entries_are_listed_by_key_in_byte_order(tabled: World) -> None:
    for key in ("b", "a", "B", "a.b", "a:b", "a-b", "Z9", "9"):
        tabled.set(key, 1)

    assert _keys(tabled) == ["9", "B", "Z9", "a", "a-b", "a.b", "a:b", "b"]


def test_a_list_can_be_of_keys_a_prefix_and_a_page(tabled: World) -> None:
    for key in ("user:1", "user:2", "user;", "users", "use", "other"):
        tabled.set(key if ";" not in key else "user~", 1)

    assert _keys(tabled, prefix="user:") == ["user:1", "user:2"]
    assert _keys(tabled, prefix="user") == ["user:1", "user:2", "users", "user~"]
    assert _keys(tabled, keys=("other", "missing", "use")) == ["other", "use"]
    assert _keys(tabled, limit=2) == ["other", "use"]
    assert _keys(tabled, after="use", limit=2) == ["user:1", "user:2"]


def test_a_deleted_entry_is_gone(tabled: World) -> None:
    tabled.set("a", 1)

    _delete(tabled, "a")

    assert tabled.entries() == {}
    with pytest.raises(NotFound):
        _delete(tabled, "a")


def test_there_is_no_table_without_a_task(world: World) -> None:
    for call in (
        lambda: world.set("a", 1),
        lambda: _delete(world, "a"),
        lambda: world.read(find_entry, "t", "a", NOON),
        lambda: world.read(list_entries, "t", KvFilter(), NOON, limit=1),
    ):
        with pytest.raises(NotFound):
            call()


def test_a_snapshot_holds_what_is_alive_and_its_revision(tabled: World) -> None:
    tabled.set("a", 1)
    tabled.set("b", 2, ttl=SECOND)
    id = tabled.task().id

    before = tabled.read(snapshot, id, tabled.now)
    tabled.clock.advance(SECOND)
    after = tabled.read(snapshot, id, tabled.now)

    assert (dict(before.entries), before.revision) == ({"a": b"1", "b": b"2"}, 2)
    assert (dict(after.entries), after.revision) == ({"a": b"1"}, 2)


def test_writes_of_one_key_in_one_group_have_their_own_versions(tabled: World) -> None:
    commands = [set_entry("t", "a", str(number).encode()) for number in range(10)]

    answers = together(tabled.writer, commands)

    assert [answer.result().entries[0].version for answer in answers] == list(range(1, 11))
    assert tabled.entries() == {"a": 9}


def test_of_many_that_demand_one_version_in_one_group_one_wins(tabled: World) -> None:
    tabled.set("a", 0)
    commands = [
        set_entry("t", "a", str(number).encode(), expected=_demanding(tabled, 1))
        for number in (1, 2, 3)
    ]

    first, *others = together(tabled.writer, commands)

    assert first.exception() is None
    assert {type(other.exception()) for other in others} == {PreconditionFailed}
    assert tabled.entries() == {"a": 1}
