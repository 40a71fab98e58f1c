"""What pydantic found wrong, as faults that point into the value that was given, in plain English."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from rota.domain.primitives.json.json_text import pointer_to
from rota.domain.validation.first_errors import first_errors
from rota.domain.validation.locations import Place, Schema, Step, locate
from rota.domain.validation.messages import word
from rota.errors import MOST_FAULTS, Fault

# How many errors are located. Several of them may belong to one place (those of the types of a union).
_MOST_LOCATED = 10 * MOST_FAULTS

_Errors = Sequence[Mapping[str, Any]]


class Faults(list[Fault]):
    """The first faults; `omitted` is how many more there are."""

    omitted: int = 0


def faults_of(errors: Iterable[Mapping[str, Any]], value: Any, schema: Schema | None) -> Faults:
    """Return the faults behind pydantic's errors on `value`, without those that only follow from another one.

    `schema`: pydantic's own of the type that found them; without it, pointers are derived from the value alone.
    """
    errors = list(errors)
    kept = _own(_by_path(errors[:_MOST_LOCATED], value, schema))
    faults = Faults(
        Fault(pointer_to(path), word([error for error, _ in located], located[0][1]))
        for path, located in kept[:MOST_FAULTS]
    )
    unseen = {error["loc"] for error in errors[_MOST_LOCATED:]}
    faults.omitted = len(kept) - len(faults) + len(unseen)
    return faults


def faults_in(
    error: ValidationError, value: Any, schema: Any, validate: Callable[[Any], Any]
) -> Faults:
    """Return the faults of a value in which `validate` has found `error`; `schema` is pydantic's own."""
    errors, more = first_errors(error, value, schema, validate)
    faults = faults_of(errors, value, schema)
    faults.omitted += more
    return faults


_Located = list[tuple[Mapping[str, Any], Place]]


def _by_path(
    errors: _Errors, value: Any, schema: Schema | None
) -> dict[tuple[Step, ...], _Located]:
    found: dict[tuple[Step, ...], _Located] = {}
    for error in errors:
        place = locate(error["loc"], value, schema)
        found.setdefault((*place.path, *_field(error)), []).append((error, place))
    return found


def _own(found: Mapping[tuple[Step, ...], _Located]) -> list[tuple[tuple[Step, ...], _Located]]:
    """Leave out faults that follow from a fault inside the same value."""
    around = {path[:length] for path in found for length in range(len(path))}
    return [(path, located) for path, located in found.items() if path not in around]


def _field(error: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where in an object the fault is, if an error about the whole of it says so."""
    context: Mapping[str, Any] = error.get("ctx") or {}
    if error["type"].startswith("union_tag"):
        return (str(context.get("discriminator", "type")).strip("'"),)
    return (context["field"],) if "field" in context else ()
