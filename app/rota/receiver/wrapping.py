"""A function of the user as FastAPI is to see it: without our parameters, and with theirs."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from fastapi import Depends, Request, Response
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from rota.receiver.call import Call

_CALL = "rota_call"


@dataclass(frozen=True)
class Endpoint:
    """A function, which of its parameters is the call, and how its input is checked."""

    function: Callable[..., Any]
    call_name: str
    input: TypeAdapter[Any] | None
    others: tuple[inspect.Parameter, ...]

    def read_input(self, call: Call) -> Any:
        """Return the input of a call as the annotation has it; raises pydantic's ValidationError."""
        return None if self.input is None else self.input.validate_python(call.input)

    async def call(self, call: Call, input: Any, values: dict[str, Any]) -> Any:
        """Call the function."""
        given = {self.call_name: call, **values}
        if self.input is not None:
            given["input"] = input
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**given)
        return await run_in_threadpool(functools.partial(self.function, **given))


def endpoint_of(function: Callable[..., Any]) -> Endpoint:
    """Return what a function takes; raises TypeError if its first parameter is not the call."""
    hints = get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or hints.get(parameters[0].name) is not Call:
        raise TypeError(
            f"the first parameter of {function.__name__} is the call: annotate it with Call"
        )
    first, *others = parameters
    has_input = any(each.name == "input" for each in others)
    return Endpoint(
        function,
        first.name,
        TypeAdapter(hints.get("input", Any)) if has_input else None,
        tuple(
            each.replace(annotation=hints.get(each.name, Any), kind=inspect.Parameter.KEYWORD_ONLY)
            for each in others
            if each.name != "input"
        ),
    )


Verified = Callable[[Request], Awaitable[Call]]
Answer = Callable[[Endpoint, Call, dict[str, Any]], Awaitable[Response]]


def wrapped(endpoint: Endpoint, verified: Verified, answer: Answer) -> Callable[..., Any]:
    """Return the function of the route. The call is the first dependency: the others see verified calls only."""

    @functools.wraps(endpoint.function)
    async def route(**values: Any) -> Response:
        return await answer(endpoint, values.pop(_CALL), values)

    ours = inspect.Parameter(
        _CALL, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Call, Depends(verified)]
    )
    signature = inspect.Signature([ours, *endpoint.others], return_annotation=Response)
    del route.__wrapped__  # FastAPI would look at that
    route.__annotations__ = {}
    route.__signature__ = signature  # type: ignore[attr-defined]
    return route
