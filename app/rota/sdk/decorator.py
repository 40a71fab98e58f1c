"""The decorator `@handler`, and the declaration that it attaches to a function."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, get_args, overload

from rota.domain.primitives.times.durations import parse_duration

Isolation = Literal["none", "process"]
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__rota_handler__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A function with what its decorator declares."""

    name: str
    function: Callable[..., Any]
    timeout: timedelta | None = None
    isolation: Isolation = "none"
    description: str = ""
    kv_version: int = 0
    migrate: Callable[..., Any] | None = None


@overload
def handler(name: F, /) -> F: ...


@overload
def handler(
    name: str | None = None,
    *,
    timeout: float | str | timedelta | None = None,
    isolation: Isolation = "none",
    kv_version: int = 0,
    migrate: Callable[..., Any] | None = None,
) -> Callable[[F], F]: ...


def handler(
    name: str | F | None = None,
    *,
    timeout: float | str | timedelta | None = None,
    isolation: Isolation = "none",
    kv_version: int = 0,
    migrate: Callable[..., Any] | None = None,
) -> F | Callable[[F], F]:
    """Make a function a handler that tasks can name: by `name`, or else by the name of the function.

    Without arguments it needs no parentheses: `@handler`.

    The function takes a context and, optionally, the run's input: if that is annotated with a pydantic model (or any
    type that pydantic supports), the input is validated when a task is registered, and passed as that type. `timeout`
    is the default for tasks without one. The function itself is not changed.

    `kv_version` is the version of the entries that the handler expects. For a task whose table has an older one (0 if
    none was recorded), `migrate(kv, old)` is called before the handler; it is `async` if the handler is. Its writes
    commit together with the new version and the run's success, so that each table is migrated once. It must not commit
    checkpoints. If the table has a newer version, the run fails with `kv.version`.
    """
    if timeout is not None and not parse_duration(timeout):
        raise ValueError("a handler needs a timeout above 0")
    if isolation not in get_args(Isolation):
        raise ValueError(f"isolation is one of {get_args(Isolation)}, not {isolation!r}")
    if kv_version < 0 or (migrate is not None and not kv_version):
        raise ValueError("kv_version is 1 or more; migrate needs one")

    def mark(function: F) -> F:
        spec = Handler(
            name=name if isinstance(name, str) else function.__name__,
            function=function,
            timeout=None if timeout is None else parse_duration(timeout),
            isolation=isolation,
            description=(function.__doc__ or "").strip(),
            kv_version=kv_version,
            migrate=migrate,
        )
        setattr(function, _MARK, spec)
        return function

    return mark(name) if callable(name) else mark


def handler_of(value: object) -> Handler | None:
    """Return the declaration of a function with `@handler`, or None for any other value."""
    spec = getattr(value, _MARK, None)
    return spec if isinstance(spec, Handler) else None
