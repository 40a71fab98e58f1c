from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from rota import handler, handler_of
from rota.errors import Invalid, NotFound
from rota.handlers.discovery import discover
from rota.handlers.registry import RegisteredHandler, Registry, register


class Feed(BaseModel):
    url: str


def registered(function: Any, name: str = "feed", **declared: Any) -> RegisteredHandler:
    spec = handler_of(handler(name, **declared)(function))
    assert spec is not None
    return register(spec, "a test")


async def takes_a_model(ctx: Any, input: Feed) -> None:
    """Look at a feed."""


def takes_nothing(ctx: Any) -> None: ...


def test_the_second_parameter_gives_the_schema() -> None:
    known = registered(takes_a_model, timeout="30s")

    assert known.input_schema == Feed.model_json_schema()
    assert known.takes_input
    assert known.kind == "async"
    assert known.timeout is not None
    assert known.timeout.total_seconds() == 30
    assert known.description == "Look at a feed."


def test_without_an_annotation_any_input_is_accepted() -> None:
    def anything(ctx: Any, input: Any) -> None: ...

    for function in (lambda ctx, given: None, anything):
        known = registered(function)
        assert (known.takes_input, known.input_schema, known.adapter) == (True, None, None)


def test_a_dict_must_be_an_object() -> None:
    def function(ctx: Any, input: dict) -> None: ...

    assert registered(function).input_schema == {"type": "object"}


def test_annotations_that_pydantic_supports_give_schemas() -> None:
    def function(ctx: Any, input: Annotated[int, Field(ge=3)]) -> None: ...

    assert registered(function).input_schema == {"type": "integer", "minimum": 3}


def test_an_annotation_that_is_text_is_resolved_without_the_others() -> None:
    def function(ctx: Any, input: Any) -> None: ...

    function.__annotations__ = {"ctx": "OnlyForTypeCheckers", "input": "Feed"}

    assert registered(function).input_schema == Feed.model_json_schema()


def test_kinds_follow_from_the_function_and_the_isolation() -> None:
    assert registered(takes_a_model).kind == "async"
    assert registered(takes_nothing).kind == "thread"
    assert registered(takes_a_model, isolation="process").kind == "process"
    assert not registered(takes_nothing).takes_input


def test_functions_that_cannot_be_called_with_a_context_are_refused() -> None:
    for function in (
        lambda: None,
        lambda ctx, given, more: None,
        lambda ctx, *, more: None,
    ):
        with pytest.raises(Invalid, match=r"must take \(ctx\) or \(ctx, input\)"):
            registered(function)


def test_generators_are_refused() -> None:
    def generator(ctx: Any) -> Iterator[int]:
        yield 1

    with pytest.raises(Invalid, match="is a generator"):
        registered(generator)


@pytest.mark.parametrize("annotation", ["Missing", object.__init__, type("Odd", (), {})])
def test_inputs_without_a_schema_are_refused(annotation: Any) -> None:
    def function(ctx: Any, input: Any) -> None: ...

    function.__annotations__["input"] = annotation

    with pytest.raises(Invalid, match=r"'feed'.*input"):
        registered(function)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "x" * 129, "ä"])
def test_invalid_handler_names_are_refused(name: str) -> None:
    with pytest.raises(Invalid, match="no name for a handler"):
        registered(takes_nothing, name)


def test_two_handlers_with_one_name_are_refused_and_both_locations_are_named() -> None:
    def other(ctx: Any) -> None: ...

    with pytest.raises(Invalid, match=r"takes_nothing \(.*test_registry.*other \("):
        Registry((registered(takes_nothing), registered(other)))


def test_the_name_of_the_built_in_handler_is_taken() -> None:
    with pytest.raises(Invalid, match="the built-in one"):
        Registry((discover([])["http"], registered(takes_nothing, "http")))


def test_a_failed_lookup_names_the_existing_handlers() -> None:
    registry = discover([])

    assert registry.lookup("http").kind == "async"
    with pytest.raises(NotFound, match=r"'feed'; there are: http"):
        registry.lookup("feed")


def test_an_unknown_isolation_is_refused() -> None:
    with pytest.raises(ValueError, match="proces"):
        handler("q", isolation="proces")  # type: ignore[call-overload]
