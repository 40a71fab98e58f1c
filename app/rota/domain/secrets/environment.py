"""Secrets from the environment: the same rules as for stored ones, in words about variables."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from rota.domain.secrets.names import SECRET_NAME_PATTERN, SecretName, TaskPatterns
from rota.domain.secrets.opened import OpenedSecret
from rota.domain.secrets.origins import Origins
from rota.domain.secrets.values import value_fault
from rota.errors import Invalid

_NAME: TypeAdapter[str] = TypeAdapter(SecretName)
_ORIGINS: TypeAdapter[tuple[str, ...]] = TypeAdapter(Origins)
_TASKS: TypeAdapter[tuple[str, ...]] = TypeAdapter(TaskPatterns)


class Given(NamedTuple):
    """A secret as variables give it; `variable` is the one that holds the value, or names its file."""

    variable: str
    name: str
    value: str
    origins: tuple[str, ...]
    tasks: tuple[str, ...]


def from_environment(given: Iterable[Given]) -> dict[str, OpenedSecret]:
    """Return secrets by name; raises Invalid, naming the variable and not the value."""
    return {each.name: _opened(each) for each in given}


def _opened(given: Given) -> OpenedSecret:
    base = given.variable.removesuffix("_FILE")
    name = _checked(_NAME, given.name, base, f"its name does not match {SECRET_NAME_PATTERN}")
    fault = value_fault(given.value)
    if fault is not None:
        raise Invalid(f"{given.variable}: {fault}.")
    return OpenedSecret(
        name,
        given.value,
        origins=_checked(_ORIGINS, given.origins, f"{base}_ORIGINS"),
        tasks=_checked(_TASKS, given.tasks, f"{base}_TASKS", "give names of tasks ('billing-*')"),
    )


def _checked(adapter: TypeAdapter[Any], value: Any, variable: str, message: str = "") -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        detail = message or error.errors(include_input=False, include_url=False)[0]["msg"]
        raise Invalid(f"{variable}: {detail}.") from None
