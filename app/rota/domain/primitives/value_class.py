"""Classes of data that is made for every run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value_class(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """Make a class of data as `dataclass(frozen=True, slots=True)` does, for the type checker.

    To freeze it in Python as well doubles what it costs to make one, and a run makes twenty.
    """
    return dataclass(slots=True, kw_only=kw_only, unsafe_hash=True)
