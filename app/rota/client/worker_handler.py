"""What a worker executes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rota.client.parameters import Duration
from rota.client.wire import UNSET


@dataclass(frozen=True, slots=True)
class WorkerHandler:
    """A function that gets the context of a run, and how its handler is declared when the worker starts."""

    function: Callable[[Any], Any]
    description: str = UNSET
    input_schema: Mapping[str, Any] | None = UNSET
    timeout: Duration | None = UNSET


HandlerMap = Mapping[str, Callable[[Any], Any] | WorkerHandler]


def function_of(handler: Callable[[Any], Any] | WorkerHandler) -> Callable[[Any], Any]:
    """Return the function of a handler."""
    return handler.function if isinstance(handler, WorkerHandler) else handler
