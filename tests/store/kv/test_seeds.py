"""Seeds: entries that come with a registration, each written once, in its commit."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, select

from rota.db import tables
from rota.domain.effects import KvWritten
from rota.domain.kv.entries import KvLimits
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import OnConflict, Registered
from rota.domain.tasks.registration import TaskRegistration, read_registration, write_registration
from rota.domain.tasks.seeds import to_operations
from rota.errors import Invalid, NotFound
from rota.store.tasks.declaration import Registration
from rota.store.tasks.registration import Register, RegisterAll
from tests.support.factories import World, define, delete_entry, finish, success, together

MANUAL = {"type": "manual"}
UPDATE = {"on_conflict": OnConflict.UPDATE}


def seeded(world: World, name: str = "t", **fields: Any) -> Registration:
    kv = fields.pop("kv", {"cursor": 0})
    return world.registration(name, **{"seeds": to_operations(kv), "by": "me"} | UPDATE | fields)


def item(name: str, **fields: Any) -> Register:
    kv = fields.pop("kv", {"cursor": 0})
    fields = {"seeds": to_operations(kv), **UPDATE} | fields
    return Register(name=name, definition=define(), **fields)


def counters(world: World, name: str = "t") -> tuple[int, int, int]:
    """Return the counters of its table in the task's row."""
    columns = (tables.task.c.kv_revision, tables.task.c.kv_entries, tables.task.c.kv_bytes)
    with world.database.read() as connection:
        return tuple(connection.execute(select(*columns).where(tables.task.c.name == name)).one())


def test_seeds_are_there_with_the_new_task(world: World) -> None:
    made = seeded(world, kv={"cursor": 5.0, "name": {"a": None}})

    assert made.outcome is Registered.CREATED
    assert repr(world.entries()) == "{'cursor': 5.0, 'name': {'a': None}}"
    assert counters(world) == (1, 2, len('5.0{"a":null}'))
    assert KvWritten(made.task.id) in world.effects
    assert world.task().kv_revision == 1


def test_a_seed_leaves_an_entry_that_is_there_alone(world: World) -> None:
    seeded(world)
    world.set("cursor", 9)

    made = seeded(world, kv={"cursor": 0, "more": 1})

    assert made.outcome is Registered.UNCHANGED
    assert world.entries() == {"cursor": 9, "more": 1}
    assert counters(world) == (3, 2, 2)


def test_a_seed_that_was_deleted_comes_back_with_the_next_registration(world: World) -> None:
    seeded(world)
    world.do(delete_entry("t", "cursor"))

    seeded(world)

    assert world.entries() == {"cursor": 0}
    assert counters(world) == (3, 1, 1)


@pytest.mark.parametrize(
    ("policy", "entries"),
    [
        (OnConflict.UPDATE, {"cursor": 0}),
        (OnConflict.REPLACE, {"cursor": 0}),
        (OnConflict.KEEP, {}),
    ],
)
def test_a_later_registration_seeds_unless_the_task_is_kept(
    world: World, policy: OnConflict, entries: dict[str, Any]
) -> None:
    world.register(schedule=MANUAL)

    seeded(world, schedule=MANUAL, on_conflict=policy, priority=1)

    assert world.entries() == entries


@pytest.mark.parametrize(
    ("kv", "limits", "pointer"),
    [
        ({"a": 1, "b/~": "xxxxxxxx"}, KvLimits(value_bytes=8), "/kv/b~1~0"),
        ({"a": 1, "b": 2}, KvLimits(entries=1), "/kv"),
        ({"a": "x" * 9}, KvLimits(total_bytes=8), "/kv"),
    ],
)
def test_seeds_beyond_the_limits_refuse_the_registration(
    world: World, kv: dict[str, Any], limits: KvLimits, pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        seeded(world, kv=kv, limits=limits)

    assert refused.value.faults[0].pointer == pointer
    with pytest.raises(NotFound):
        world.task()


def test_seeds_that_do_not_fit_the_schema_of_the_registration_refuse_it(world: World) -> None:
    world.register(schedule=MANUAL)
    schema = {"cursor": {"type": "object", "properties": {"id": {"type": "integer"}}}}

    with pytest.raises(Invalid) as refused:
        seeded(world, schedule=MANUAL, kv={"cursor": {"id": "1"}}, kv_schema=schema)

    assert refused.value.slug == "kv-schema"
    assert refused.value.faults[0].pointer == "/kv/cursor/id"
    assert world.entries() == {}
    assert world.task().generation == 1


def test_a_batch_is_seeded_with_a_few_statements_for_all(world: World) -> None:
    world.register("old")
    names = ["old", *(f"t{number}" for number in range(50))]
    statements: list[str] = []
    event.listen(
        world.database.writing,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: statements.append(statement),
    )

    world.do(RegisterAll(tuple(item(name, kv={"cursor": 0, name: 1}) for name in names)))

    assert [world.entries(name) for name in names] == [{"cursor": 0, name: 1} for name in names]
    assert counters(world, "t7") == (1, 2, 2)
    assert sum("INSERT INTO kv" in each for each in statements) <= 6
    assert len(statements) < 25


def test_a_fault_in_the_seeds_of_a_batch_leaves_nothing_and_points_at_it(world: World) -> None:
    small = KvLimits(value_bytes=8)
    items = (item("a"), item("b"), item("c", kv={"big": "x" * 9}, limits=small))

    with pytest.raises(Invalid) as refused:
        world.do(RegisterAll(items))

    assert refused.value.faults[0].pointer == "/items/2/kv/big"
    assert refused.value.detail.startswith("/items/2/kv/big: ")
    assert world.count(tables.task) == world.count(tables.kv) == 0


def test_refused_seeds_do_not_fail_the_neighbours(world: World) -> None:
    bad = item("bad", kv={"big": "x" * 9}, limits=KvLimits(value_bytes=8))

    first, refused, again = together(world.writer, [item("a"), bad, item("a", kv={"cursor": 1})])

    assert first.result().outcome is Registered.CREATED
    assert again.result().outcome is Registered.UNCHANGED
    assert isinstance(refused.exception(), Invalid)
    assert world.entries("a") == {"cursor": 0}


# Registered by runs


@pytest.fixture
def claimed(world: World) -> ClaimedRun:
    world.register(schedule=MANUAL)
    return world.start()


def wish(name: str = "child", **fields: Any) -> TaskRegistration:
    given = {"name": name, "handler": "noop", "schedule": MANUAL, "kv": {"cursor": 0}}
    return read_registration(given | fields)


def test_the_seeds_of_a_run_come_through_to_another_process() -> None:
    made = wish(kv={"cursor": 5.0, "a": None})

    assert read_registration(write_registration(made)) == made


def test_seeds_that_cannot_be_written_are_refused_when_the_run_gives_them() -> None:
    with pytest.raises(ValueError, match=r"^/kv/_a: keys with a leading '_'"):
        wish(kv={"_a": 1})
    with pytest.raises(ValueError, match=r"^/kv/a: not a JSON value"):
        wish(kv={"a": {1}})


def test_a_run_seeds_the_tasks_that_it_registers(world: World, claimed: ClaimedRun) -> None:
    made = replace(success(claimed, seen=1), registrations=(wish(),))

    world.end(claimed, made)

    assert world.run(claimed.id).status is RunStatus.SUCCEEDED
    assert (world.entries(), world.entries("child")) == ({"seen": 1}, {"cursor": 0})
    assert counters(world, "child") == (1, 1, 1)


def test_a_run_that_seeds_its_own_task_keeps_what_it_has_written(
    world: World, claimed: ClaimedRun
) -> None:
    own = wish("t", kv={"cursor": 0, "other": 1})
    made = replace(success(claimed, cursor=7), registrations=(own,))

    world.end(claimed, made)

    assert world.entries() == {"cursor": 7, "other": 1}
    assert counters(world)[1:] == (2, 2)


def test_runs_that_end_together_seed_what_others_of_them_write(world: World) -> None:
    world.register("a", schedule=MANUAL)
    world.register("b", schedule=MANUAL)
    seeding, writing = world.start("a"), world.start("b")
    wished = replace(success(seeding), registrations=(wish("b"),))

    ends = together(
        world.writer,
        [
            finish(seeding, wished, holder=world.holder),
            finish(writing, success(writing, cursor=7), holder=world.holder),
        ],
    )

    assert all(end.exception() is None for end in ends)
    assert world.run(seeding.id).status is RunStatus.SUCCEEDED
    # The entry was not there when it began.
    assert world.attempts(writing.id)[0].outcome is AttemptOutcome.CONFLICT
    assert world.entries("b") == {"cursor": 0}
    assert counters(world, "b")[1:] == (1, 1)


def test_seeds_that_cannot_be_kept_fail_the_attempt(world: World, claimed: ClaimedRun) -> None:
    made = replace(success(claimed, a=1), registrations=(wish(kv={"big": "x" * 300_000}),))

    settled = world.end(claimed, made)

    assert settled.error is not None
    assert settled.error.type == "register.invalid"
    assert "/kv/big" in settled.error.message
    assert world.entries() == {}
