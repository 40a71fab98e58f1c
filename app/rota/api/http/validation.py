"""Errors of requests, in plain English: faults in the body by pointers, those of parameters by their names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError

from rota.domain.primitives.json.json_text import printable
from rota.domain.validation.faults import Faults, faults_in, faults_of
from rota.domain.validation.locations import Place, Schema
from rota.domain.validation.messages import nearest, word
from rota.errors import Fault, Invalid, sentence

Errors = Iterable[Mapping[str, Any]]
M = TypeVar("M", bound=BaseModel)

_BODY = "body"
_MOST_PLACE = 1_000


@dataclass(frozen=True, slots=True)
class Unfit:
    """A body that does not fit its type, in place of an instance of the type: FastAPI refuses it."""

    body: Any
    faults: Faults

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse to be read as an instance of a model.

        FastAPI lets pydantic take the fields of a model from the attributes of an object. One without them would be
        an instance with all the defaults.
        """
        raise AttributeError(name) if name.startswith("_") else LookupError(name)


def checked(body_type: Any, body: Any) -> Any:
    """Return the body as an instance of its type, which FastAPI accepts as it is, or a list with an Unfit.

    A list, since FastAPI would read the fields of a model from the attributes of another object, and accept one that
    has none of them for a model whose fields all have defaults.
    """
    try:
        return _adapter(body_type).validate_python(body)
    except ValidationError as error:
        return [Unfit(body, _faults(error, body, body_type))]


def unfit_in(body: Any) -> Unfit | None:
    """Return the Unfit that `checked` has put in place of a body, if it has."""
    first = body[0] if isinstance(body, list) and len(body) == 1 else None
    return first if isinstance(first, Unfit) else None


def invalid_request(error: RequestValidationError, body_type: Any) -> Invalid:
    """Return the errors that FastAPI found in a request as an error of ours."""
    errors: Sequence[Mapping[str, Any]] = error.errors()
    body = error.body
    unfit = unfit_in(body)
    inside = _of_body(errors, body, body_type) if unfit is None else unfit.faults
    return refusal([*_of_parameters(errors), *inside], omitted=inside.omitted)


def invalid_body(error: ValidationError, body: Any, model: Any) -> Invalid:
    """Return pydantic's errors on a body as an error of ours."""
    faults = _faults(error, body, model)
    return refusal(faults, omitted=faults.omitted)


def invalid_parameter(name: str, detail: str, slug: str = "invalid-filter") -> Invalid:
    """Return the error for a parameter, or a header, that has a wrong value."""
    return refusal([Fault("", detail, name)], slug)


def checked_filter(name: str, given: tuple[str, ...], members: type[StrEnum]) -> tuple[str, ...]:
    """Return the values of a filter; raises Invalid if one is not a value of `members`."""
    known = sorted(str(member) for member in members)
    for each in given:
        if each not in known:
            detail = f"{each[:40]!r} is none of {', '.join(known)}{nearest(each, known)}"
            raise invalid_parameter(name, detail)
    return given


def refusal(faults: Sequence[Fault], slug: str = "invalid", omitted: int = 0) -> Invalid:
    """Return the error for a request with these faults, and `omitted` more; its detail is the first fault."""
    first = faults[0]
    place = printable(first.parameter or first.pointer or "The body", _MOST_PLACE)
    return Invalid(sentence(f"{place}: {first.detail}"), *faults, slug=slug, omitted=omitted)


def validated(model: type[M], body: Any) -> M:
    """Return a body that was built here as an instance of its model; raises Invalid."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid_body(error, body, model) from None


def _of_parameters(errors: Errors) -> list[Fault]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for error in errors:
        place, *path = error["loc"]
        if place != _BODY:
            found.setdefault(str(path[0] if path else place), []).append(error)
    return [Fault("", _message(together), name) for name, together in found.items()]


def _message(errors: Sequence[Mapping[str, Any]]) -> str:
    return word(errors, Place("")).replace("this field", "this parameter")


def _of_body(errors: Errors, body: Any, body_type: Any) -> Faults:
    inside = [{**error, "loc": error["loc"][1:]} for error in errors if error["loc"][0] == _BODY]
    if any(error["type"] == "missing" and not error["loc"] for error in inside):
        return Faults([Fault("", "this request needs a body, as JSON")])
    return faults_of(inside, body, _schema(body_type))


def _faults(error: ValidationError, body: Any, body_type: Any) -> Faults:
    adapter = _adapter(body_type)
    return faults_in(error, body, adapter.core_schema, adapter.validate_python)


def _schema(body_type: Any) -> Schema | None:
    return None if body_type is None else _adapter(body_type).core_schema


# FastAPI makes the same adapter for a body's type, but does not expose it.
@lru_cache(maxsize=256)
def _adapter(body_type: Any) -> TypeAdapter[Any]:
    return TypeAdapter(body_type)
