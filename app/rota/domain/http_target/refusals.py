"""Faults in a target, with their places in it, as pydantic's errors."""

from collections.abc import Iterable
from itertools import islice

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from rota.errors import MOST_FAULTS

#: Where in a value a fault is, and what would be right.
Fault = tuple[tuple[str | int, ...], str]


def refuse_if_any(faults: Iterable[Fault]) -> None:
    """Raise ValidationError with the first faults, if there are some; no value is quoted."""
    details = [_detail(*fault) for fault in islice(faults, MOST_FAULTS)]
    if details:
        raise ValidationError.from_exception_data("target", details)


def _detail(place: tuple[str | int, ...], message: str) -> InitErrorDetails:
    wrong = PydanticCustomError("target", "{message}", {"message": message})
    return {"type": wrong, "loc": place, "input": None}
