"""What pydantic found wrong, as faults that point into the value that was given, in plain English."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from rota.domain.primitives.json_text import pointer_to
from rota.domain.validation.first_errors import first_errors
from rota.domain.validation.locations import Place, Schema, Step, locate
from rota.domain.validation.messages import word
from rota.errors import MOST_FAULTS, Fault

# So many errors are looked at for what is told. Several of them may be of one place (those of a union's types).
_MOST_LOCATED = 10 * MOST_FAULTS

_Errors = Sequence[Mapping[str, Any]]


class Faults(list[Fault]):
    """The first faults; `omitted` is how many more there are."""

    omitted: int = 0


def faults_of(errors: Iterable[Mapping[str, Any]], value: Any, schema: Schema | None) -> Faults:
    """Return the faults behind pydantic's errors on `value`, without those that only follow from another one.

    `schema`: pydantic's own of the type that found them; without it, pointers are as good as the value alone tells.
    """
    errors = list(errors)
    kept = _own(_by_path(errors[:_MOST_LOCATED], value, schema))
    faults = Faults(
        Fault(pointer_to(path), word([error for error, _ in told], told[0][1]))
        for path, told in kept[:MOST_FAULTS]
    )
    unseen = {error["loc"] for error in errors[_MOST_LOCATED:]}
    faults.omitted = len(kept) - len(faults) + len(unseen)
    return faults


def faults_in(
    error: ValidationError, value: Any, schema: Any, validate: Callable[[Any], Any]
) -> Faults:
    """Return the faults in a value, in which `validate` has found an error; `schema` is pydantic's own."""
    errors, more = first_errors(error, value, schema, validate)
    faults = faults_of(errors, value, schema)
    faults.omitted += more
    return faults


_Told = list[tuple[Mapping[str, Any], Place]]


def _by_path(errors: _Errors, value: Any, schema: Schema | None) -> dict[tuple[Step, ...], _Told]:
    found: dict[tuple[Step, ...], _Told] = {}
    for error in errors:
        place = locate(error["loc"], value, schema)
        found.setdefault((*place.path, *_member(error)), []).append((error, place))
    return found


def _own(found: Mapping[tuple[Step, ...], _Told]) -> list[tuple[tuple[Step, ...], _Told]]:
    """Leave out what is wrong because something in it is."""
    around = {path[:length] for path in found for length in range(len(path))}
    return [(path, told) for path, told in found.items() if path not in around]


def _member(error: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where in an object the fault is, if an error about the whole of it says so."""
    context: Mapping[str, Any] = error.get("ctx") or {}
    if error["type"].startswith("union_tag"):
        return (str(context.get("discriminator", "type")).strip("'"),)
    return (context["member"],) if "member" in context else ()
