"""What an attacker with write access to the database cannot pass off: earlier values, other types, values in plain."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from rota.db import tables
from rota.db.encryption import FORMAT
from rota.domain.kv.operations import Increment, Set
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.sealed import NOT_SEALED, is_sealed
from rota.domain.runs.status import RunStatus
from rota.engine.key_rotation import SETTLED_AFTER, KeyRotation
from rota.errors import Sealed
from rota.store.kv.entries import KvFilter, find_entry, list_entries, snapshot
from rota.store.kv.transactions import Transact
from rota.store.sealing.notes import NoteSealed, enforce_note
from rota.store.sealing.sealed_values import check_keys, keys_in_use
from rota.store.tasks.run_commands import Rerun
from tests.db.test_encryption import seal_as_before
from tests.store.sealing.conftest import NEW, OLD, Open
from tests.support.factories import World, delete_entry

SECRET = "hunter2-and-more"


@pytest.fixture
def opened(opened: Open) -> Open:
    """Open the same database with these keys, one world after the other; each checks the keys as a start does."""

    def open_with(keys: dict[str, bytes]) -> World:
        world = opened(keys)
        world.read(check_keys)
        return world

    return open_with


def settle(world: World) -> int:
    return KeyRotation(world.database, world.do).settle()


def change(world: World, key: str, table: Any = tables.kv, **fields: Any) -> None:
    """An attack on the row of an entry."""
    with world.transaction() as tx:
        changed = tx.connection.execute(update(table).where(table.c.key == key).values(**fields))
        assert changed.rowcount == 1


def row(world: World, key: str, table: Any = tables.kv) -> Any:
    with world.database.read() as connection:
        return connection.execute(select(table).where(table.c.key == key)).one()


def plant(world: World, key: str, value: bytes = b"666") -> None:
    """Put a value in plain in the place of a sealed one."""
    change(world, key, value=value, size=len(value), sealed_with=None)


def make_earlier(world: World, key: str) -> None:
    """Have an entry as the version before has sealed it."""
    held = row(world, key)
    plain = world.read(find_entry, "t", key, world.now)[1].value
    change(world, key, value=seal_as_before(OLD["k1"], held.task_id, f"value of {key!r}", plain))


def unreadable(world: World, key: str) -> bool:
    """Return whether an entry is refused wherever it is read, and its neighbour is not."""
    with pytest.raises(Sealed, match=key):
        world.read(find_entry, "t", key, world.now)
    with pytest.raises(Sealed):
        world.do(Transact(task="t", operations=(Increment(key, 1),), by="me"))
    listed = world.read(list_entries, "t", KvFilter(), world.now, limit=9)
    return {each.key: each.sealed for each in listed} == {key: True, "other": False}


def test_an_earlier_value_of_the_same_entry_does_not_open(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("other", 1)
    world.set("a", 1)
    earlier = row(world, "a").value
    world.set("a", 2)

    change(world, "a", value=earlier)

    assert unreadable(world, "a")


def test_a_value_is_not_served_as_another_content_type(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("other", 1)
    world.set("a", "<script>")

    change(world, "a", content_type="text/html")

    assert unreadable(world, "a")


def test_a_version_in_the_history_keeps_what_it_is_bound_to(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    for number in range(3):
        world.do(
            Transact(task="t", operations=(Set("a", b"%d" % number, None, "text/x"),), by="me")
        )

    with world.database.read() as connection:
        kept = connection.execute(select(tables.kv_history)).all()

    assert [each.version for each in kept if each.value] == [1, 2]
    world = opened(NEW | OLD)
    assert KeyRotation(world.database, world.do).go_round() == 3
    assert KeyRotation(world.database, world.do).go_round() == 0
    world = opened(NEW)
    assert world.read(find_entry, "t", "a", world.now)[1].value == b"2"


def test_a_value_in_plain_is_taken_until_a_walk_has_found_none(opened: Open) -> None:
    world = opened({})
    world.register()
    world.set("other", 1)
    world.set("a", SECRET)
    world = opened(OLD)
    assert world.entries() == {"a": SECRET, "other": 1}

    assert settle(world) == 2
    assert world.entries() == {"a": SECRET, "other": 1}
    plant(world, "a")

    world = opened(OLD)
    assert unreadable(world, "a")
    with pytest.raises(Sealed):
        world.read(snapshot, row(world, "a").task_id, world.now)


def test_a_walk_seals_nothing_that_was_planted_in_plain(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("other", 1)
    world.set("a", 1)
    settle(world)
    plant(world, "a")

    assert KeyRotation(world.database, world.do).go_round() == 0
    assert settle(opened(NEW | OLD)) == 1
    world = opened(NEW | OLD)
    assert row(world, "a").sealed_with is None
    assert unreadable(world, "a")


def test_an_entry_that_was_planted_can_be_written_anew_and_removed(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("a", 1)
    world.set("b", 1)
    settle(world)
    plant(world, "a")
    plant(world, "b")

    world.set("a", 2)
    world.do(delete_entry("t", "b"))

    assert world.entries() == {"a": 2}


def test_a_value_of_the_first_format_is_read_and_sealed_anew(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("a", SECRET)
    make_earlier(world, "a")
    earlier = row(world, "a").value
    assert not earlier.startswith(FORMAT)
    assert world.entries() == {"a": SECRET}

    sealed = [KeyRotation(world.database, world.do).go_round() for _ in range(2)]

    assert sealed == [1, 0]
    assert row(world, "a").value.startswith(FORMAT)
    assert world.entries() == {"a": SECRET}


def test_a_value_of_the_first_format_is_not_taken_any_more_when_there_is_none(
    opened: Open,
) -> None:
    world = opened(OLD)
    world.register()
    world.set("other", 1)
    world.set("a", SECRET)
    make_earlier(world, "a")
    earlier = row(world, "a").value
    assert settle(world) == 1

    change(world, "a", value=earlier)

    world = opened(OLD)
    assert unreadable(world, "a")


def test_what_is_noted_holds_after_a_restart_and_with_another_key(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("other", 1)
    world.set("a", 1)
    settle(world)

    world = opened(NEW | OLD)
    assert world.read(keys_in_use) == ["k1"]
    settle(world)
    assert world.read(keys_in_use) == ["k2"]

    world = opened(NEW)
    plant(world, "a")
    assert unreadable(world, "a")


def test_who_has_no_key_can_write_no_note(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.do(NoteSealed())
    with world.transaction() as tx:
        tx.connection.execute(update(tables.sealing_note).values(proof=b"x" * 60))

    with pytest.raises(Sealed, match="note"):
        world.read(enforce_note)


def test_a_service_that_has_read_the_note_goes_by_it_when_it_is_removed(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("other", 1)
    world.set("a", 1)
    settle(world)
    with world.transaction() as tx:
        tx.connection.execute(delete(tables.sealing_note))
    world.read(check_keys)

    plant(world, "a")

    assert unreadable(world, "a")


def test_a_service_notes_that_all_is_sealed_when_that_was_so_for_an_hour(opened: Open) -> None:
    world = opened({})
    world.register()
    world.set("a", 1)
    world = opened(OLD)
    resealing = KeyRotation(world.database, world.do, world.clock.monotonic)

    def rounds() -> list[str]:
        for _ in range(20):
            resealing.sweep()
        return [each for each in world.read(keys_in_use) if noted(world)]

    assert rounds() == []
    world.clock.advance(SETTLED_AFTER - timedelta(seconds=1))
    assert rounds() == []
    with world.transaction() as tx:  # a replica that has no key yet
        plain = update(tables.kv).values(value=b"2", sealed_with=None)
        tx.connection.execute(plain)
    world.clock.advance(timedelta(seconds=2))
    assert rounds() == []
    world.clock.advance(SETTLED_AFTER)
    assert rounds() == ["k1"]
    assert world.entries() == {"a": 2}
    plant(world, "a")
    with pytest.raises(Sealed):
        world.read(find_entry, "t", "a", world.now)


def noted(world: World) -> bool:
    with world.database.read() as connection:
        return bool(connection.execute(select(tables.sealing_note)).all())


def inputs(world: World) -> dict[Id, str]:
    with world.database.read() as connection:
        rows = connection.execute(select(tables.run.c.id, tables.run.c.input)).all()
    return {row.id: row.input for row in rows}


def test_an_input_in_plain_of_a_task_with_a_secret_one_is_not_given_to_its_run(
    opened: Open,
) -> None:
    world = opened(OLD)
    world.register(secret_input=True, input={"amount": 1})
    world.run_now()
    planted = json_text.dumps({"amount": 1_000_000})
    with world.transaction() as tx:
        assert tx.connection.execute(update(tables.run).values(input=planted)).rowcount == 1

    [claimed] = world.claim()

    assert claimed.input == NOT_SEALED


def test_an_input_in_plain_in_the_row_of_the_task_reaches_none_of_its_runs(opened: Open) -> None:
    world = opened(OLD)
    world.register(secret_input=True, input={"amount": 1}, overlap_policy="allow")
    world.register(
        "after",
        schedule={"type": "after", "tasks": ["t"]},
        secret_input=True,
        input={"amount": 1},
    )
    planted = json_text.dumps({"amount": 1_000_000})
    with world.transaction() as tx:
        tx.connection.execute(update(tables.task).values(input=planted))
    world.run_now()
    world.clock.advance(timedelta(minutes=1))
    world.fire()

    claimed = world.claim()
    world.succeed(claimed[0])

    assert [each.input for each in claimed] == [NOT_SEALED] * 2
    [skipped] = world.runs("after")
    assert (skipped.status, skipped.error and skipped.error.type) == (RunStatus.SKIPPED, "sealed")


def test_inputs_of_waiting_runs_are_sealed_when_a_task_gets_a_secret_input(opened: Open) -> None:
    world = opened(OLD)
    world.register(input={"token": SECRET}, overlap_policy="allow")
    ended = world.start()
    world.succeed(ended)
    waiting = world.run_now()

    world.register(
        input={"token": SECRET}, secret_input=True, overlap_policy="allow", on_conflict="update"
    )
    again = world.do(Rerun(ended.id))

    stored = inputs(world)
    assert {id for id, text in stored.items() if is_sealed(text)} == {waiting.id, again.id}
    assert [json_text.loads(each.input) for each in world.claim()] == [{"token": SECRET}] * 2
