"""Kv values at rest: encrypted if there is a key, for all writers and readers."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from rota.db import tables
from rota.domain.chains.result_merge import without_runs
from rota.domain.kv.entries import DEFAULT_LIMITS, KvChange
from rota.domain.kv.operations import Append, Check, Increment, Max, Set
from rota.domain.kv.present import Present
from rota.domain.primitives.json import json_text
from rota.domain.runs.outcomes import Succeeded
from rota.engine.key_rotation import KeyRotation
from rota.errors import Conflict, Sealed
from rota.store.kv.bulk_import import Import
from rota.store.kv.entries import KvFilter, count_entries, find_entry, list_entries, snapshot
from rota.store.kv.transactions import Transact
from rota.store.sealing.sealed_values import check_keys, keys_in_use
from rota.store.sealing.value_rotation import Reseal
from tests.store.sealing.conftest import NEW, OLD, Open
from tests.support.factories import World

SECRET = "hunter2-and-more"


def stored(world: World, table: Any = tables.kv) -> dict[str, tuple[bytes, str | None]]:
    """Return what is in the column, by key."""
    with world.database.read() as connection:
        rows = connection.execute(select(table).order_by(table.c.version)).all()
    return {row.key: (row.value, row.sealed_with) for row in rows}


def value(world: World, key: str) -> Any:
    return json_text.loads(world.read(find_entry, "t", key, world.now)[1].value)


def test_a_value_is_sealed_in_its_row_and_plain_for_who_reads_it(opened: Open) -> None:
    world = opened(OLD)
    task = world.register()

    made = world.set("a", SECRET)

    raw, key = stored(world)["a"]
    assert (key, SECRET.encode() in raw) == ("k1", False)
    assert world.read(find_entry, "t", "a", world.now)[1] == made
    assert world.read(list_entries, "t", KvFilter(), world.now, limit=9) == [made]
    assert dict(world.read(snapshot, task.id, world.now).entries) == {
        "a": json_text.dumps(SECRET).encode()
    }


def test_what_a_run_writes_is_sealed_and_so_is_its_result(opened: Open) -> None:
    world = opened(OLD)
    world.register()

    world.succeed(world.start(), json_text.dumps(SECRET), a=SECRET)

    assert {key for _, key in stored(world).values()} == {"k1"}
    assert all(SECRET.encode() not in raw for raw, _ in stored(world).values())
    assert (value(world, "a"), value(world, "_result")) == (SECRET, SECRET)


def test_sizes_are_those_of_the_values_themselves(opened: Open) -> None:
    world = opened(OLD)
    world.register()

    entry = world.set("a", SECRET)

    size = len(json_text.dumps(SECRET))
    assert entry.size == size
    assert world.read(count_entries, "t", KvFilter(), world.now) == (1, size)
    with world.database.read() as connection:
        row = connection.execute(select(tables.task.c.kv_entries, tables.task.c.kv_bytes)).one()
    assert tuple(row) == (1, size)


def test_operations_work_on_what_is_sealed(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    operations = (
        Set("n", b"1"),
        Increment("n", 2),
        Append("list", b'"x"'),
        Max("top", b"7"),
        Check("n", value=b"3"),
    )
    for _ in range(2):
        world.do(Transact(task="t", operations=operations, by="me"))

    assert world.entries() == {"n": 3, "list": ["x", "x"], "top": 7}
    with pytest.raises(Conflict, match="another value"):
        world.do(Transact(task="t", operations=(Check("n", value=b"4"),), by="me"))


def test_bytes_come_back_as_they_were(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    image = bytes(range(256))

    world.do(Transact(task="t", operations=(Set("i", image, None, "image/png"),), by="me"))

    entry = world.read(find_entry, "t", "i", world.now)[1]
    assert (entry.value, entry.content_type) == (image, "image/png")


def test_earlier_versions_stay_sealed(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("a", SECRET)
    world.set("a", 2)
    world.do(Transact(task="t", operations=(Set("b", b"1"),), by="me"))

    raw, key = stored(world, tables.kv_history)["a"]

    assert key == "k1"
    assert SECRET.encode() not in raw


def test_what_was_written_before_there_was_a_key_can_still_be_read(opened: Open) -> None:
    world = opened({})
    world.register()
    world.set("a", SECRET)
    world.set("b", 1)

    world = opened(OLD)
    world.set("b", 2)

    assert world.entries() == {"a": SECRET, "b": 2}
    assert [key for _, key in stored(world).values()] == [None, "k1"]


def test_a_key_that_is_gone_is_named_and_so_is_the_setting(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("a", SECRET)

    for keys in (NEW, {}):
        world = opened(keys)
        with pytest.raises(Sealed, match=r"'k1'.*ROTA_ENCRYPTION_KEYS") as refused:
            world.read(check_keys)
        with pytest.raises(Sealed):
            world.read(find_entry, "t", "a", world.now)
        with pytest.raises(Sealed):
            world.do(Transact(task="t", operations=(Increment("a", 1),), by="me"))
        assert SECRET not in str(refused.value)


def test_another_key_under_the_same_id_is_refused_at_the_start(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("a", SECRET)
    (key_id,) = OLD

    world = opened({key_id: bytes(range(32, 64))})

    with pytest.raises(Sealed, match=f"'{key_id}'.*another key than it was"):
        world.read(check_keys)


def test_one_value_that_was_changed_past_rota_keeps_no_service_from_starting(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("a", SECRET)
    world.set("b", SECRET)
    with world.transaction() as tx:
        changed = update(tables.kv).where(tables.kv.c.key == "a").values(value=b"nothing sealed")
        tx.connection.execute(changed)

    world.read(check_keys)


def test_a_value_that_does_not_open_can_be_written_anew_and_harms_no_neighbour(
    opened: Open,
) -> None:
    world = opened(OLD)
    world.register()
    world.set("a", SECRET)
    world = opened(NEW)

    world.set("b", 1)
    world.set("a", 2)

    assert world.entries() == {"a": 2, "b": 1}


def test_a_value_that_does_not_open_can_be_replaced_together_with_others(opened: Open) -> None:
    world = opened(OLD)
    world.register(kv_history=0)
    for key in "abc":
        world.set(key, SECRET)
    world = opened(NEW)

    world.do(Transact(task="t", operations=(Set("a", b"1"), Increment("n", 1)), by="me"))
    claimed = world.start()
    changes = (KvChange("b", b"2"), Increment("n", 1))
    world.end(claimed, Succeeded("null", changes, claimed.kv_revision))
    coming = {"c": Present(b"3")}
    world.do(Import(task="t", entries=coming, replace=False, by="me", limits=DEFAULT_LIMITS))

    entries = world.entries()
    assert [entries[key] for key in "abcn"] == [1, 2, 3, 2]


def test_values_cannot_be_swapped_between_rows(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("poor", 1)
    world.set("rich", 1_000_000)
    raw, _ = stored(world)["rich"]

    with world.transaction() as tx:
        tx.connection.execute(update(tables.kv).where(tables.kv.c.key == "poor").values(value=raw))

    with pytest.raises(Sealed, match="'poor' does not open"):
        world.read(find_entry, "t", "poor", world.now)
    assert value(world, "rich") == 1_000_000


def test_a_walk_seals_everything_with_the_first_key(opened: Open) -> None:
    world = opened({})
    world.register()
    for number in range(5):
        world.set(f"plain{number}", SECRET)
        world.set(f"plain{number}", number)
    world = opened(OLD)
    world.set("old", SECRET)
    world.set("old", SECRET)
    world = opened(NEW | OLD)
    before = world.entries()

    sealed = [KeyRotation(world.database, world.do).go_round() for _ in range(2)]

    assert sealed == [6 + 6, 0]
    assert world.entries() == before
    assert world.read(keys_in_use) == ["k2"]
    for table in (tables.kv, tables.kv_history):
        assert {key for _, key in stored(world, table).values()} == {"k2"}
    world = opened(NEW)
    world.read(check_keys)
    assert world.entries() == before


def test_a_walk_changes_no_version_and_emits_no_event(opened: Open) -> None:
    world = opened({})
    world.register()
    made = world.set("a", SECRET)
    world = opened(OLD)

    KeyRotation(world.database, world.do).go_round()

    assert world.read(find_entry, "t", "a", world.now)[1] == made
    assert world.effects == []


def test_a_walk_leaves_alone_what_was_written_meanwhile(opened: Open) -> None:
    world = opened({})
    task = world.register()
    read = world.set("a", 1)
    world = opened(OLD)
    world.set("a", 2)

    sealed = world.do(Reseal(0, ((task.id, "a", read.version),)))

    assert sealed == 0
    assert world.entries() == {"a": 2}


def test_a_walk_goes_past_what_does_not_open(opened: Open) -> None:
    world = opened(OLD)
    world.register()
    world.set("a", 1)
    world.set("b", 1)
    with world.transaction() as tx:
        broken = update(tables.kv).where(tables.kv.c.key == "a")
        tx.connection.execute(broken.values(value=b"x" * 40))
    world = opened(NEW | OLD)

    assert KeyRotation(world.database, world.do).go_round() == 1
    assert world.read(keys_in_use) == ["k1", "k2"]


def test_a_removal_keeps_no_key_in_use(opened: Open) -> None:
    world = opened(OLD)
    world.register(kv_history=2)
    for number in range(4):
        world.set("a", number, ttl=timedelta(hours=1))
    world = opened(NEW | OLD)

    KeyRotation(world.database, world.do).go_round()

    assert world.read(keys_in_use) == ["k2"]


@pytest.mark.parametrize("database_engine", ["sqlite"], indirect=True)
def test_no_plain_text_gets_into_the_database_file(opened: Open, tmp_path: Path) -> None:
    world = opened(OLD)
    world.register()
    world.set("visible-key", SECRET)
    world.set("visible-key", [SECRET, SECRET])
    claimed = world.start()
    world.succeed(claimed, "null", mine=SECRET)
    written = Set("other", SECRET.encode(), None, "text/plain")
    world.do(Transact(task="t", operations=(written,), by="me"))
    opened(OLD)

    files = b"".join(path.read_bytes() for path in tmp_path.glob("rota.db*"))

    assert b"visible-key" in files
    assert SECRET.encode() not in files


def stored_inputs(world: World) -> list[str]:
    """Return the inputs of the task and its runs as they are stored."""
    with world.database.read() as connection:
        return [
            text
            for table in (tables.task, tables.run)
            for text in connection.execute(select(table.c.input)).scalars()
        ]


def test_a_secret_input_is_sealed_in_every_row(opened: Open) -> None:
    world = opened(OLD)
    world.register(secret_input=True, input={"token": SECRET}, overlap_policy="allow")
    world.run_now()
    world.run_now(input=json_text.dumps({"token": SECRET}))
    world.clock.advance(timedelta(minutes=1))
    world.fire()

    claimed = world.claim()

    assert [json_text.loads(each.input) for each in claimed] == [{"token": SECRET}] * 3
    texts = stored_inputs(world)
    assert len(texts) == 4
    assert all(text.startswith("sealed:k1:") and SECRET not in text for text in texts)


def test_a_run_with_a_secret_input_keeps_it_secret_when_its_task_has_none_any_more(
    opened: Open,
) -> None:
    world = opened(OLD)
    world.register(secret_input=True, input={"token": SECRET}, overlap_policy="allow")
    world.run_now()
    world.register(input={"token": "none"}, overlap_policy="allow", on_conflict="update")
    world.run_now()

    claimed = {each.input: each.secret_input for each in world.claim()}

    assert {SECRET in text: secret for text, secret in claimed.items()} == {
        True: True,
        False: False,
    }


def test_a_task_that_comes_after_another_gets_its_secret_and_the_results(opened: Open) -> None:
    world = opened(OLD)
    world.register("before")
    after = {"type": "after", "tasks": ["before"]}
    world.register("t", schedule=after, secret_input=True, input={"token": SECRET})

    world.succeed(world.start("before"), '"done"')

    [claimed] = world.claim()
    given = without_runs(json_text.loads(claimed.input))
    assert given == {"token": SECRET, "results": {"before": "done"}}
    assert all(SECRET not in text for text in stored_inputs(world))


def test_a_walk_seals_inputs_with_the_first_key(opened: Open) -> None:
    world = opened(OLD)
    world.register(secret_input=True, input={"token": SECRET})
    world.register("plain", input={"a": 1})
    world.run_now()
    world = opened(NEW | OLD)

    sealed = [KeyRotation(world.database, world.do).go_round() for _ in range(2)]

    assert sealed == [2, 0]
    assert sorted(text.split(":")[1] for text in stored_inputs(world) if "sealed" in text) == [
        "k2",
        "k2",
    ]
    world = opened(NEW)
    [claimed] = world.claim()
    assert json_text.loads(claimed.input) == {"token": SECRET}
