"""Schemas of a task's kv, checked in the commit of each writer."""

from typing import Any

import pytest
from sqlalchemy import update

from rota.db import tables
from rota.domain.json_schema.checks import NotCheckedError
from rota.domain.kv.entries import DEFAULT_LIMITS, KvChange
from rota.domain.kv.operations import (
    Append,
    Check,
    Delete,
    Expire,
    Increment,
    Max,
    Operation,
    Set,
    SetOnce,
)
from rota.domain.primitives.ids import random_id
from rota.domain.primitives.json import json_text
from rota.domain.runs.outcomes import Succeeded
from rota.errors import Invalid
from rota.store.definitions import write_definition
from rota.store.kv.transactions import Transact, write_entries
from rota.store.tasks.registration import Register
from tests.support.factories import (
    HOUR,
    World,
    define,
    delete_entry,
    finish,
    set_entry,
    success,
    together,
)

SCHEMA: dict[str, Any] = {
    "count": {"type": "integer", "maximum": 3},
    "names": {"items": {"type": "string"}, "maxItems": 2},
    "user:*": {"type": "object", "required": ["name"]},
    "free": True,
    "*": False,
}
SECRET = "hunter2-and-more"


@pytest.fixture
def strict(world: World) -> World:
    """A world with a task `t` that says what its kv may be."""
    world.register(kv_schema=SCHEMA)
    return world


def transact(world: World, *operations: Operation) -> None:
    world.do(Transact(task="t", operations=operations, by="me"))


def refused(world: World, *operations: Operation) -> list[str]:
    """Return the pointers of the refusal, and see that nothing was written."""
    before = world.entries()
    with pytest.raises(Invalid) as error:
        transact(world, *operations)
    assert error.value.slug == "kv-schema"
    assert world.entries() == before
    return [fault.pointer for fault in error.value.faults]


def test_what_fits_is_stored(strict: World) -> None:
    transact(
        strict,
        Set("count", b"3"),
        Append("names", b'"a"'),
        SetOnce("user:1", b'{"name":null}'),
        Set("free", b"x", None, "image/png"),
    )

    assert strict.count(tables.kv) == 4


def test_what_does_not_fit_is_refused_with_a_pointer_into_the_value(strict: World) -> None:
    ok = Set("count", b"1")

    assert refused(strict, ok, Set("count", b'"1"')) == ["/operations/1/value"]
    assert refused(strict, ok, Set("names", b'["a",2]')) == ["/operations/1/value/1"]
    assert refused(strict, SetOnce("user:1", b"{}")) == ["/operations/0/value"]
    assert refused(strict, ok, Max("count", b"9")) == ["/operations/1/value"]
    assert refused(strict, Set("other", b"1")) == ["/operations/0/value"]
    assert refused(strict, Set("count", b"x", None, "image/png")) == ["/operations/0/value"]


def test_what_an_operation_makes_of_a_value_is_checked(strict: World) -> None:
    transact(strict, Set("count", b"2"), Set("names", b'["a"]'))

    transact(strict, Increment("count", 1), Append("names", b'"b"'))

    assert refused(strict, Increment("count", 1)) == ["/operations/0"]
    assert refused(strict, Append("names", b'"c"')) == ["/operations/0"]
    transact(strict, Append("names", b'"c"', 2))
    assert strict.entries() == {"count": 3, "names": ["b", "c"]}


def test_only_what_a_transaction_leaves_is_checked(strict: World) -> None:
    transact(strict, Set("count", b"9"), Set("count", b"1"), Set("other", b"1"), Delete("other"))

    assert strict.entries() == {"count": 1}
    assert refused(strict, Set("count", b"1"), Increment("count", 9)) == ["/operations/1"]
    assert refused(strict, Set("count", b"9"), Expire("count", HOUR)) == ["/operations/0/value"]


def test_another_schema_touches_nothing_that_is_stored(world: World) -> None:
    world.register()
    world.set("count", SECRET)
    world.register(kv_schema=SCHEMA, on_conflict="update")

    assert world.entries() == {"count": SECRET}
    transact(world, Expire("count", HOUR))
    assert refused(world, Set("count", b'"x"'))
    world.do(delete_entry("t", "count"))
    transact(world, Set("count", b"1"))


def test_the_definition_at_the_commit_counts(strict: World) -> None:
    strict.register(kv_schema=SCHEMA | {"count": {"type": "string"}}, on_conflict="update")

    assert refused(strict, Set("count", b"1"))
    transact(strict, Set("count", b'"1"'))
    strict.register(on_conflict="update")
    transact(strict, Set("count", b"1"))


def test_a_seed_is_checked_too(strict: World) -> None:
    id = strict.task().id

    with pytest.raises(Invalid, match="kv_schema"), strict.transaction() as tx:
        write_entries(tx, id, [Set("count", b'"x"')], "me", DEFAULT_LIMITS)


def test_a_run_whose_writes_do_not_fit_fails_and_writes_nothing(strict: World) -> None:
    claimed = strict.start()

    settled = strict.succeed(claimed, '"done"', count=1, names=[SECRET, {SECRET: 1}])

    assert settled.error is not None
    assert settled.error.type == "kv.schema"
    assert "'names'" in settled.error.message
    assert SECRET not in settled.error.message
    assert strict.count(tables.kv) == 0
    assert strict.run(claimed.id).failures == 1


def test_what_a_run_adds_is_checked_as_it_is_at_the_commit(strict: World) -> None:
    transact(strict, Set("count", b"2"))
    ends = []
    for _ in range(2):
        claimed = strict.start()
        made = Succeeded("null", (Increment("count", 1),), claimed.kv_revision)
        ends.append(strict.end(claimed, made).error)

    first, second = ends
    assert first is None
    assert second is not None
    assert "maximum of 3" in second.message
    assert strict.entries() == {"count": 3}


def test_runs_and_clients_that_fit_do_not_suffer_from_one_that_does_not(world: World) -> None:
    world.register(kv_schema=SCHEMA, overlap_policy="allow")
    for _ in range(3):
        world.run_now()
    claims = world.claim()
    entries: list[dict[str, Any]] = [{"free": 1}, {"count": SECRET}, {"user:1": {"name": "a"}}]
    commands = [
        finish(claimed, success(claimed, "null", **written), holder=world.holder)
        for claimed, written in zip(claims, entries, strict=True)
    ]

    answers = together(
        world.writer, [*commands, set_entry("t", "count", b"1"), set_entry("t", "x")]
    )

    settled = [answer.result() for answer in answers[:3]]
    assert [each.error and each.error.type for each in settled] == [None, "kv.schema", None]
    assert isinstance(answers[4].exception(), Invalid)
    assert world.entries() == {"free": 1, "user:1": {"name": "a"}, "count": 1}


def test_the_result_of_a_run_is_no_business_of_the_schema(strict: World) -> None:
    strict.succeed(strict.start(), f'"{SECRET}"')

    assert strict.count(tables.kv) == 1


def test_removing_is_always_possible(strict: World) -> None:
    claimed = strict.start()
    changes = (KvChange("other", None),)

    assert strict.end(claimed, Succeeded("null", changes, claimed.kv_revision)).error is None


def test_entries_of_other_tasks_have_other_schemas(strict: World) -> None:
    strict.register("u", kv_schema={"*": {"type": "string"}})

    strict.set("count", SECRET, "u")

    with pytest.raises(Invalid):
        strict.set("count", 1, "u")


def test_another_ttl_behind_a_check_leaves_the_value_as_it_was(world: World) -> None:
    world.register()
    version = world.set("count", SECRET).version
    world.register(kv_schema=SCHEMA, on_conflict="update")

    transact(world, Check("count", version=version), Expire("count", HOUR))
    transact(world, SetOnce("count", b"1"), Expire("count", HOUR))

    assert world.entries() == {"count": SECRET}


def test_a_refusal_points_at_the_operation_that_wrote_the_value(strict: World) -> None:
    wrong = Set("count", b"9")

    assert refused(strict, wrong, Check("count", value=b"9")) == ["/operations/0/value"]
    assert refused(strict, wrong, SetOnce("count", b"1")) == ["/operations/0/value"]
    assert refused(strict, Increment("count", 9), Max("count", b"1")) == ["/operations/0"]


@pytest.fixture
def heavy() -> dict[str, Any]:
    """A schema that takes long, and that no other test has had checked with."""
    branches = [{"type": "integer"}, *({"type": "boolean"},) * 1_499]
    return {"*": {"$comment": random_id(), "items": {"anyOf": branches}}}


def listed(*items: Any) -> bytes:
    return json_text.dumps(list(items)).encode()


def submitted(world: World, command: Any) -> BaseException | None:
    """Return what a command meets in its transaction, without what the writer does about it."""
    (answer,) = together(world.writer, [command])
    return answer.exception()


def test_a_large_value_is_checked_outside_the_transaction(
    world: World, heavy: dict[str, Any]
) -> None:
    world.register(kv_schema=heavy)
    large = Transact(task="t", operations=(Set("a", listed(*[0] * 100)),), by="me")

    assert isinstance(submitted(world, large), NotCheckedError)
    assert world.entries() == {}
    world.do(large)

    assert world.entries() == {"a": [0] * 100}
    assert submitted(world, large) is None  # it is known by now


def test_a_large_value_that_does_not_fit_is_refused_at_its_first_fault(
    world: World, heavy: dict[str, Any]
) -> None:
    world.register(kv_schema=heavy)

    assert refused(world, Set("a", listed(*[0] * 100, "x", "y"))) == ["/operations/0/value/100"]


def test_values_that_take_too_much_together_are_refused(
    world: World, heavy: dict[str, Any]
) -> None:
    world.register(kv_schema=heavy)
    large = listed(*[0] * 4_000)

    transact(world, Set("a", large))
    with pytest.raises(Invalid, match="10,000,000 steps"):
        transact(world, Set("a", large), Set("b", large))
    assert list(world.entries()) == ["a"]


def test_a_value_that_was_checked_against_another_schema_is_checked_again(
    world: World, heavy: dict[str, Any]
) -> None:
    world.register(kv_schema=heavy)
    large = Transact(task="t", operations=(Set("a", listed(*[0] * 100)),), by="me")
    error = submitted(world, large)
    assert isinstance(error, NotCheckedError)

    world.register(kv_schema={"*": {**heavy["*"], "maxItems": 99}}, on_conflict="update")
    error.make()

    assert isinstance(submitted(world, large), NotCheckedError)
    with pytest.raises(Invalid):
        world.do(large)


def test_what_is_added_to_a_large_value_is_checked_as_it_is_at_the_commit(
    world: World, heavy: dict[str, Any]
) -> None:
    world.register(kv_schema=heavy)
    transact(world, Set("a", listed(*[0] * 100)))

    transact(world, Append("a", b"1"))

    assert world.entries() == {"a": [*[0] * 100, 1]}
    assert refused(world, Append("a", b'"x"')) == ["/operations/0"]


def test_a_run_that_writes_a_large_value_ends_as_one_that_writes_a_small_one(
    world: World, heavy: dict[str, Any]
) -> None:
    world.register(kv_schema=heavy)

    assert world.succeed(world.start(), "null", a=[0] * 100).error is None
    settled = world.succeed(world.start(), "null", b=[SECRET] * 100)

    assert settled.error is not None
    assert settled.error.type == "kv.schema"
    assert SECRET not in settled.error.message
    assert list(world.entries()) == ["a"]


def test_a_seed_that_is_large_is_checked_before_its_registration_is_stored(
    world: World, heavy: dict[str, Any]
) -> None:
    def seeded(value: bytes) -> Any:
        seeds = (SetOnce("a", value),)
        return Register(name="t", definition=define(kv_schema=heavy), seeds=seeds)

    with pytest.raises(Invalid, match="/kv/a/100"):
        world.do(seeded(listed(*[0] * 100, "x")))
    world.do(seeded(listed(*[0] * 100)))

    assert world.entries() == {"a": [0] * 100}


def test_a_large_schema_is_compiled_outside_the_transaction(world: World) -> None:
    world.register(kv_schema={"*": {"description": random_id() + "x" * 20_000, "type": "integer"}})
    small = Transact(task="t", operations=(Set("a", b"1"),), by="me")

    assert isinstance(submitted(world, small), NotCheckedError)
    world.do(small)

    assert world.entries() == {"a": 1}


def test_a_stored_schema_that_is_beyond_the_limits_refuses_writes_and_says_why(
    world: World,
) -> None:
    world.register(kv_schema={"*": {"type": "integer"}})
    definition = world.task().definition.model_copy(
        update={"kv_schema": {"*": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
    )
    with world.transaction() as tx:
        stored = update(tables.task).values(definition=write_definition(definition))
        assert tx.connection.execute(stored).rowcount == 1

    with pytest.raises(Invalid, match="declare another one"):
        transact(world, Set("a", b"1"))
