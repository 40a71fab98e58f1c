from typing import Any

import pytest
from pydantic import ValidationError

from rota.domain.tasks.definition import TaskDefinition
from tests.support.factories import define

HTTP = {"handler": "http", "target": {"url": "http://a/"}}


def test_defaults_are_those_of_the_contract() -> None:
    out = define().model_dump(mode="json")

    assert out["timeout"] == 300
    assert out["retry"] == {
        "max_attempts": 3,
        "backoff": "exponential",
        "initial_interval": 10,
        "multiplier": 2,
        "max_interval": 3_600,
        "max_elapsed": None,
        "jitter": True,
    }
    assert (out["misfire_policy"], out["overlap_policy"]) == ("run_once", "skip")
    assert (out["queue"], out["priority"], out["tags"]) == ("default", 0, [])
    assert out["retention"] == {"runs": 100, "age": 2_592_000}


def test_a_target_that_completes_its_runs_later_says_so() -> None:
    later = define(handler="http", target={"url": "http://a/", "async": True})

    assert later.completes_later
    assert later.model_dump(mode="json")["target"]["async"] is True
    assert not define(**HTTP).completes_later
    assert not define().completes_later
    with pytest.raises(ValidationError):
        define(handler="http", target={"url": "http://a/", "async": "yes"})


def test_the_shortest_heartbeat_timeout_is_a_second() -> None:
    assert define(heartbeat_timeout="1s") == define(heartbeat_timeout=1)
    assert define().heartbeat_timeout is None
    with pytest.raises(ValidationError, match="1 second"):
        define(heartbeat_timeout=0.9)


def test_definitions_that_say_the_same_are_equal() -> None:
    assert define(timeout="1h", tags=["a", "b", "a"]) == define(timeout=3_600.0, tags=["a", "b"])


def test_grants_are_names_each_of_them_once() -> None:
    assert define().kv_grants == ()
    assert define(kv_grants=["a", "b", "a"]) == define(kv_grants=["a", "b"])


def test_a_definition_can_be_declared_again_as_it_is_shown() -> None:
    for definition in (define(), define(**HTTP), define(schedule={"type": "once", "delay": 5})):
        assert TaskDefinition.model_validate(definition.model_dump(mode="json")) == definition


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"handler": ""}, ("handler",)),
        ({"timeout": 0}, ("timeout",)),
        ({"priority": 40_000}, ("priority",)),
        ({"queue": "run"}, ("queue",)),
        ({"queue": "a b"}, ("queue",)),
        ({"tags": ["a b"]}, ("tags", 0)),
        ({"tags": ["x"] * 33}, ("tags",)),
        ({"kv_grants": ["a b"]}, ("kv_grants", 0)),
        ({"kv_grants": ["x"] * 101}, ("kv_grants",)),
        ({"overlap_policy": "queue"}, ("overlap_policy",)),
        ({"misfire_policy": "run_some"}, ("misfire_policy",)),
        ({"description": "x" * 2_001}, ("description",)),
        ({"status": "active"}, ("status",)),
        ({"handler": "http"}, ()),
        ({"target": {"url": "http://a/"}}, ()),
    ],
)
def test_a_wrong_definition_is_refused_at_the_place_of_its_fault(
    wrong: dict[str, Any], place: tuple[Any, ...]
) -> None:
    with pytest.raises(ValidationError) as refused:
        define(**wrong)

    assert [error["loc"] for error in refused.value.errors()] == [place]
