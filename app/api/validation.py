"""What is wrong with a request, in plain English: its body by pointers, its parameters by their names."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.domain.faults import faults_of
from app.domain.places import Place, Schema
from app.domain.wording import word
from app.errors import Fault, Invalid

Errors = Iterable[Mapping[str, Any]]
M = TypeVar("M", bound=BaseModel)

_BODY = "body"


def invalid_request(error: RequestValidationError, body_type: Any) -> Invalid:
    """Return what FastAPI found wrong with a request, as our own error."""
    errors: Sequence[Mapping[str, Any]] = error.errors()
    return refusal([*_of_parameters(errors), *_of_body(errors, error.body, body_type)])


def invalid_body(error: ValidationError, body: Any, model: Any) -> Invalid:
    """Return what is wrong with a body that was checked here."""
    return refusal(faults_of(error.errors(include_url=False), body, _schema(model)))


def invalid_parameter(name: str, detail: str, slug: str = "invalid-filter") -> Invalid:
    """Return the error for a parameter, or a header, that has a wrong value."""
    return refusal([Fault("", detail, name)], slug)


def refusal(faults: Sequence[Fault], slug: str = "invalid") -> Invalid:
    """Return the error for a request with these faults; what it says in one sentence is the first one."""
    first = faults[0]
    place = first.parameter or first.pointer or "The body"
    stop = "" if first.detail.endswith("?") else "."
    return Invalid(f"{place}: {first.detail}{stop}", *faults, slug=slug)


def validated(model: type[M], body: Any) -> M:
    """Return a body that was put together here; raises Invalid."""
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
    return [Fault("", _say(together), name) for name, together in found.items()]


def _say(errors: Sequence[Mapping[str, Any]]) -> str:
    return word(errors, Place("")).replace("this member", "this parameter")


def _of_body(errors: Errors, body: Any, body_type: Any) -> list[Fault]:
    inside = [{**error, "loc": error["loc"][1:]} for error in errors if error["loc"][0] == _BODY]
    if any(error["type"] == "missing" and not error["loc"] for error in inside):
        return [Fault("", "this request needs a body, as JSON")]
    return faults_of(inside, body, _schema(body_type))


# FastAPI makes the same of a body's type, but keeps it to itself.
@lru_cache(maxsize=256)
def _schema(body_type: Any) -> Schema | None:
    return None if body_type is None else TypeAdapter(body_type).core_schema
