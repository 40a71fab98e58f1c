"""What a handler gets as its input: in a chain without the runs of predecessors, if it does not take them."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from rota.domain.chains.result_merge import RUN_FIELDS, merged
from rota.domain.primitives.json import json_text
from rota.handlers.outcomes import InvalidInput, arguments
from rota.handlers.registry import RegisteredHandler, register
from rota.sdk.contexts import Context
from rota.sdk.decorator import Handler

RUNS = {"extract": dict.fromkeys(RUN_FIELDS)}
IN_A_CHAIN = json_text.dumps(merged({}, [("extract", 1)], "by_task", RUNS))


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    results: dict[str, int]


class WithRuns(Strict):
    runs: dict[str, Any]


class WithOther(Strict):
    runs: int = 3


async def strict(ctx: Context, input: Strict) -> None:
    pass


async def takes_runs(ctx: Context, input: WithRuns) -> None:
    pass


async def takes_another(ctx: Context, input: WithOther) -> None:
    pass


def registered(function: Any) -> RegisteredHandler:
    return register(Handler(name="h", function=function), "here")


def test_a_model_that_takes_the_runs_gets_them() -> None:
    assert arguments(registered(takes_runs), IN_A_CHAIN) == (
        WithRuns(results={"extract": 1}, runs=RUNS),
    )


@pytest.mark.parametrize(("function", "model"), [(strict, Strict), (takes_another, WithOther)])
def test_a_model_that_does_not_take_the_runs_gets_its_input_without_them(
    function: Any, model: type[Strict]
) -> None:
    assert arguments(registered(function), IN_A_CHAIN) == (model(results={"extract": 1}),)


@pytest.mark.parametrize("text", ['{"results":{},"runs":1}', '{"results":{"a":"x"},"runs":{}}'])
def test_other_inputs_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        arguments(registered(strict), text)
