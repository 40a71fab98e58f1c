"""The registry of handlers."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Literal, get_type_hints

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from rota.domain.json_schema.compiled import UnusableSchemaError
from rota.domain.primitives.texts.names import NAME_PATTERN
from rota.domain.tasks.input_schema import compile_schema
from rota.errors import Invalid, NotFound
from rota.sdk.decorator import Handler

Kind = Literal["async", "thread", "process"]

#: The source of handlers that come with Rota.
BUILT_IN = "built in"

_NAME = re.compile(NAME_PATTERN)
_POSITIONAL = {
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredHandler:
    """A handler that can be called; `input_schema` and `adapter` come from its second parameter."""

    name: str
    function: Callable[..., Any]
    kind: Kind
    timeout: timedelta | None = None
    description: str = ""
    input_schema: dict[str, Any] | None = None
    takes_input: bool = False
    adapter: TypeAdapter[Any] | None = None
    #: The module or file that declares it.
    source: str
    #: Whether the fork server can import it.
    importable: bool = False
    kv_version: int = 0
    migrate: Callable[..., Any] | None = None


class Registry(Mapping[str, RegisteredHandler]):
    """The handlers of this process by name."""

    def __init__(self, handlers: tuple[RegisteredHandler, ...] = ()) -> None:
        self._handlers: dict[str, RegisteredHandler] = {}
        for handler in handlers:
            self._add(handler)

    def lookup(self, name: str) -> RegisteredHandler:
        """Return the handler; raises NotFound, naming those that exist."""
        if name not in self._handlers:
            known = ", ".join(sorted(self._handlers)) or "none"
            raise NotFound(f"No handler is called {name!r}; there are: {known}.")
        return self._handlers[name]

    def __getitem__(self, name: str) -> RegisteredHandler:
        return self._handlers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)

    def _add(self, handler: RegisteredHandler) -> None:
        other = self._handlers.setdefault(handler.name, handler)
        if other.function is not handler.function:
            raise Invalid(
                f"Two handlers are called {handler.name!r}: {_place(other)} and {_place(handler)}."
            )


def register(spec: Handler, source: str) -> RegisteredHandler:
    """Derive from a declaration how its function is called; raises Invalid if it cannot be a handler."""
    if not _NAME.fullmatch(spec.name):
        raise Invalid(f"{spec.name!r} is no name for a handler: it must match {NAME_PATTERN}.")
    takes_input, annotation = _second_parameter(spec)
    adapter = None if annotation is Any else _adapter(spec, annotation)
    return RegisteredHandler(
        name=spec.name,
        function=spec.function,
        kind=_kind(spec),
        timeout=spec.timeout,
        description=spec.description,
        input_schema=_schema(spec, annotation, adapter),
        takes_input=takes_input,
        adapter=adapter,
        source=source,
        kv_version=spec.kv_version,
        migrate=_migration(spec),
    )


def _kind(spec: Handler) -> Kind:
    if inspect.isgeneratorfunction(spec.function) or inspect.isasyncgenfunction(spec.function):
        raise _wrong(spec, "is a generator; a handler returns its result")
    if spec.isolation == "process":
        return "process"
    return "async" if inspect.iscoroutinefunction(spec.function) else "thread"


def _migration(spec: Handler) -> Callable[..., Any] | None:
    """Return the function that migrates the kv of a task; it is `async` if the handler is."""
    is_async = inspect.iscoroutinefunction(spec.function)
    if spec.migrate is not None and inspect.iscoroutinefunction(spec.migrate) != is_async:
        raise _wrong(spec, "and its migration must both be `async def`, or both not")
    return spec.migrate


def _second_parameter(spec: Handler) -> tuple[bool, Any]:
    """Return whether the function takes the input, and as which type (Any: plain JSON values)."""
    parameters = list(inspect.signature(spec.function).parameters.values())
    positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    needed = [parameter for parameter in parameters if _is_needed(parameter)]
    if not positional or len(needed) > 2 or any(part not in positional for part in needed):
        raise _wrong(spec, "must take (ctx) or (ctx, input)")
    if len(positional) == 1:
        return positional[0].kind is inspect.Parameter.VAR_POSITIONAL, Any
    annotation = positional[1].annotation
    return True, Any if annotation is inspect.Parameter.empty else _resolve(spec, annotation)


def _is_needed(parameter: inspect.Parameter) -> bool:
    variable = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return parameter.default is inspect.Parameter.empty and parameter.kind not in variable


def _resolve(spec: Handler, annotation: Any) -> Any:
    # Only this annotation: that of the context is often imported for type checkers only.
    holder = SimpleNamespace(__annotations__={"input": annotation})
    names = getattr(inspect.unwrap(spec.function), "__globals__", {})
    try:
        return get_type_hints(holder, globalns=names, include_extras=True)["input"]
    except Exception as error:
        raise _wrong(spec, f"has an input annotation that cannot be read: {error}") from error


def _adapter(spec: Handler, annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except PydanticUserError as error:
        raise _wrong(spec, f"takes an input that pydantic does not support: {error}") from error


def _schema(
    spec: Handler, annotation: Any, adapter: TypeAdapter[Any] | None
) -> dict[str, Any] | None:
    if adapter is None:
        return None
    if annotation is dict:
        return {"type": "object"}
    try:
        schema = adapter.json_schema(mode="validation")
        compile_schema(schema)
    except PydanticUserError as error:
        raise _wrong(spec, f"takes an input that has no JSON Schema: {error}") from error
    except UnusableSchemaError as error:
        at = f" at {error.pointer}" if error.pointer else ""
        why = f"takes an input whose JSON Schema is not usable{at}: {error.detail}"
        raise _wrong(spec, why) from error
    return schema


def _place(handler: RegisteredHandler) -> str:
    if handler.source == BUILT_IN:
        return "the built-in one"
    function = inspect.unwrap(handler.function)
    code = getattr(function, "__code__", None)
    where = f"{code.co_filename}:{code.co_firstlineno}" if code else handler.source
    return f"{getattr(function, '__qualname__', function)} ({where})"


def _wrong(spec: Handler, detail: str) -> Invalid:
    name = getattr(spec.function, "__qualname__", repr(spec.function))
    return Invalid(f"The handler {spec.name!r} ({name}) {detail}.")
