"""Which fields of a definition hold names, and which of them a key may not use."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import Field

from rota.domain.access.named import FIELDS, NameKind, fault_of, names_in, not_kept, outside
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.access.principal import Principal
from rota.domain.alerts.rules import OnFailure
from rota.domain.primitives.texts.names import NAME_PATTERN, Name
from rota.domain.tasks.definition import TaskDefinition
from tests.support.factories import define
from tests.support.named_fields import named_fields

#: A definition for each field that holds a name, with that name in it.
WITH_NAME: dict[tuple[str, ...], Any] = {
    ("queue",): lambda name: {"queue": name},
    ("concurrency", "key"): lambda name: {"concurrency": {"key": name}},
    ("schedule", "tasks", "*"): lambda name: {"schedule": {"type": "after", "tasks": [name]}},
    ("constraints", "*", "task"): lambda name: {"constraints": [ready(name)]},
    ("kv_grants", "*"): lambda name: {"kv_grants": [name]},
    ("on_failure", "task"): lambda name: {"on_failure": {"task": name}},
    ("on_success", "task"): lambda name: {"on_success": {"task": name}},
    ("on_skipped", "task"): lambda name: {"on_skipped": {"task": name}},
    ("on_late", "task"): lambda name: {"on_late": {"task": name, "after": 60}},
}
POINTERS = {path: "/" + "/".join(path).replace("*", "0") for path in WITH_NAME}


def ready(task: str, **predicate: Any) -> dict[str, Any]:
    """Return a constraint on an entry of a task."""
    return {"type": "kv", "task": task, "key": "ready"} | (predicate or {"exists": True})


def key(tasks: NameLimit = UNLIMITED, queues: NameLimit = UNLIMITED) -> Principal:
    return Principal(label="key:a", idempotency_scope="a", tasks=tasks, queues=queues)


A = key(NameLimit(("a-", "b-")), NameLimit(("a-", "b-")))


def test_every_field_of_a_definition_that_holds_a_name_is_known() -> None:
    found = named_fields(TaskDefinition.model_json_schema(), NAME_PATTERN)

    assert found == set(FIELDS) == set(WITH_NAME)


def test_a_new_field_that_holds_a_name_would_be_noticed() -> None:
    class Wider(TaskDefinition):
        reviewer: Name | None = None
        next_tasks: dict[str, str] = Field(default_factory=dict)
        watches: tuple[OnFailure, ...] = ()

    found = named_fields(Wider.model_json_schema(), NAME_PATTERN)

    assert found - set(FIELDS) == {("reviewer",), ("next_tasks", "*"), ("watches", "*", "task")}


@pytest.mark.parametrize("path", WITH_NAME, ids=POINTERS.get)
def test_a_name_is_found_with_its_pointer(path: tuple[str, ...]) -> None:
    definition = define(**WITH_NAME[path]("x-1"))

    (found,) = (each for each in names_in(definition) if each.name == "x-1")

    assert (found.pointer, found.kind) == (POINTERS[path], FIELDS[path])


@pytest.mark.parametrize("path", WITH_NAME, ids=POINTERS.get)
@pytest.mark.parametrize("name", ["a-1", "b-2"])
def test_a_name_with_one_of_the_prefixes_may_be_used(path: tuple[str, ...], name: str) -> None:
    assert list(refused(A, **{"queue": "a-"} | WITH_NAME[path](name))) == []


@pytest.mark.parametrize("path", WITH_NAME, ids=POINTERS.get)
@pytest.mark.parametrize("name", ["c-1", "a", "A-1", "xa-1"])
def test_another_name_is_refused_without_being_quoted(path: tuple[str, ...], name: str) -> None:
    kind = FIELDS[path]

    assert list(refused(A, **{"queue": "a-"} | WITH_NAME[path](name))) == [
        (POINTERS[path], f"this key may only use a {kind} whose name begins with 'a-' or 'b-'")
    ]


def test_a_key_without_any_names_may_use_none() -> None:
    nothing = key(tasks=NameLimit(()))

    assert list(refused(nothing, on_failure={"task": "a"})) == [
        ("/on_failure/task", "this key may not use any task")
    ]


def test_limits_of_tasks_and_of_queues_do_not_depend_on_each_other() -> None:
    fields = {"queue": "mail", "kv_grants": ["b"]}

    assert [at for at, _ in refused(key(tasks=NameLimit(("a",))), **fields)] == ["/kv_grants/0"]
    assert [at for at, _ in refused(key(queues=NameLimit(("a",))), **fields)] == ["/queue"]
    assert list(refused(key(), **fields)) == []


def test_alerts_that_are_off_and_other_schedules_hold_no_name() -> None:
    assert list(refused(A, queue="a-", on_failure="off", on_late=None)) == []


@pytest.mark.parametrize("path", WITH_NAME, ids=POINTERS.get)
def test_what_is_there_already_may_stay_where_it_is(path: tuple[str, ...]) -> None:
    present = define(**WITH_NAME[path]("c-1"))
    again = define(description="new", **WITH_NAME[path]("c-1"))
    elsewhere = define(**WITH_NAME[path]("c-2"))

    assert not_kept(list(names_in(again)), present) == []
    found = [each for each in names_in(elsewhere) if each.name == "c-2"]
    assert not_kept(found, present) == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"constraints": [ready("c", at_least=1)]}, {"constraints": [ready("c", at_least=2)]}),
        ({"constraints": [ready("c", equals=1)]}, {"constraints": [ready("c", equals=True)]}),
        (WITH_NAME["schedule", "tasks", "*"]("c"), {"schedule": {"type": "after", "tasks": ["c"], "on": ["failed"]}}),
        ({"on_failure": {"task": "c"}}, {"on_failure": {"task": "c", "after": 2}}),
        ({"on_failure": {"task": "c"}}, {"on_success": {"task": "c"}}),
        ({"kv_grants": ["c"]}, {"on_success": {"task": "c"}}),
        ({"concurrency": {"key": "c"}}, {"concurrency": {"key": "c", "limit": 2}}),
        ({"queue": "c"}, {"kv_grants": ["c"]}),
    ],
)  # fmt: skip
def test_a_rule_that_was_changed_counts_as_new(before: Any, after: Any) -> None:
    found = [each for each in names_in(define(**after)) if each.name == "c"]

    assert found
    assert not_kept(found, define(**before)) == found


def test_constraints_may_change_their_order() -> None:
    rules = [ready("c"), {"type": "kv", "name": "two", "key": "a", "equals": 1, "task": "c-2"}]

    found = list(names_in(define(constraints=rules[::-1])))

    assert not_kept(found, define(constraints=rules)) == []


def test_every_kind_of_name_occurs() -> None:
    assert set(FIELDS.values()) == set(NameKind)


def refused(caller: Principal, **fields: Any) -> Iterator[tuple[str, str]]:
    """Yield pointer and detail of the faults of a definition."""
    for each in outside(caller, define(**fields)):
        fault = fault_of(caller, each)
        yield fault.pointer, fault.detail
