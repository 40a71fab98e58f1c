"""Lists of tasks."""

from typing import Any

import pytest

from rota.errors import NotFound
from rota.store.definitions import read_definition, write_definition
from rota.store.task_rows import TaskFilter, find_task, list_tasks
from tests.support.factories import World, define


def _names(world: World, after: str = "", limit: int = 99, **wanted: Any) -> list[str]:
    return [task.name for task in world.read(list_tasks, TaskFilter(**wanted), after, limit)]


def test_tasks_are_listed_by_name_in_byte_order_page_by_page(world: World) -> None:
    for name in ("b", "a", "B", "a.b", "a-b", "10", "9"):
        world.register(name)
    wanted = ["10", "9", "B", "a", "a-b", "a.b", "b"]

    assert _names(world) == wanted
    assert _names(world, limit=3) == wanted[:3]
    assert _names(world, after="B", limit=3) == wanted[3:6]


def test_tasks_are_filtered_by_their_fields(world: World) -> None:
    world.register("a", tags=["x"], queue="slow")
    world.register("b", tags=["x", "y"], handler="other")
    world.register("ab", paused=True)

    assert _names(world, tag=("x",)) == ["a", "b"]
    assert _names(world, tag=("y", "z")) == ["b"]
    assert _names(world, queue=("slow",)) == ["a"]
    assert _names(world, handler=("other",)) == ["b"]
    assert _names(world, status=("paused",)) == ["ab"]
    assert _names(world, status=("active", "paused"), name_prefix="a") == ["a", "ab"]
    assert _names(world, tag=("x",), handler=("other",), queue=("slow",)) == []


def test_a_task_that_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="'t'"):
        world.read(find_task, "t")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"input": [5.0, 10**20, -0.0, {"ü": None}]},
        {
            "handler": "http",
            "target": {"url": "http://a/", "body": {"n": 5.0, "e": 1e22}, "query": {"q": True}},
        },
        {"retry": {"max_attempts": 1}, "tags": ["a"], "timeout": "1h"},
        {"schedule": {"type": "cron", "expression": "@daily", "timezone": "Asia/Kolkata"}},
        {"schedule": {"type": "once", "delay": "PT2H"}},
        {"schedule": {"type": "interval", "every": 90, "anchor": "2026-01-01T00:00:00Z"}},
        {"schedule": {"type": "manual"}, "priority": -32_768, "retention": {"runs": 1}},
    ],
)
def test_a_definition_comes_back_as_it_was_declared(world: World, fields: Any) -> None:
    wanted = define(**fields)

    read_back = read_definition(write_definition(wanted)).model_copy(update={"input": wanted.input})

    assert repr(read_back.model_dump()) == repr(wanted.model_dump())
    if wanted.handler != "http":
        world.register(**fields)
        assert repr(world.task().definition.input) == repr(wanted.input)


def large_definition(number: int) -> str:
    target = {"url": "http://localhost/", "body": f"{number}" * 300_000}
    return write_definition(define(handler="http", target=target))


def test_a_large_definition_is_read_once_and_few_of_them_stay() -> None:
    text, others = large_definition(0), [large_definition(number) for number in range(1, 9)]

    first = read_definition(text)
    assert read_definition(text) is first  # in one piece, for all who ask for it

    for other in others:
        read_definition(other)
    assert read_definition(text) is not first
    assert read_definition(text) == first
