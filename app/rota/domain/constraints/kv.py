"""The constraint `kv`: an entry of a key-value table is as one predicate says."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rota.domain.constraints.base import NAME, BaseConstraint, ConstraintName, is_none
from rota.domain.primitives.json.unset import UNSET
from rota.domain.primitives.texts.names import READABLE_KEY_PATTERN, Name


def _is_unset(value: Any) -> bool:
    return value is UNSET


_Bound = Annotated[
    StrictInt | StrictFloat | StrictStr | None,
    Field(
        None,
        exclude_if=is_none,
        description="Numbers are compared with numbers, texts with texts.",
    ),
]
#: Fields of `kv` of which exactly one is given.
Predicate = Literal[
    "exists", "equals", "not_equals", "less_than", "at_most", "greater_than", "at_least"
]
_PREDICATES: tuple[Predicate, ...] = get_args(Predicate)
_ANY_JSON = ("equals", "not_equals")


class Kv(BaseConstraint):
    """An entry of a task's key-value table is as one predicate says."""

    type: Literal["kv"]
    name: ConstraintName = Field("kv", description=NAME)
    task: Name | None = Field(
        None,
        exclude_if=is_none,
        description="Whose entry; this task's if left out. It need not be there yet.",
    )
    key: Annotated[str, StringConstraints(pattern=READABLE_KEY_PATTERN)] = Field(
        description="Rota's own can be read as well: `_result` is the last successful result.",
        examples=["ready"],
    )
    exists: StrictBool | None = Field(None, exclude_if=is_none)
    equals: Any = Field(
        default_factory=lambda: UNSET,
        exclude_if=_is_unset,
        description="Any JSON, null as well.",
        examples=[True],
    )
    not_equals: Any = Field(
        default_factory=lambda: UNSET,
        exclude_if=_is_unset,
        description="Any JSON; met also where there is no entry.",
        examples=["busy"],
    )
    less_than: _Bound
    at_most: _Bound
    greater_than: _Bound
    at_least: _Bound

    @model_validator(mode="after")
    def _one_predicate(self) -> Self:
        if len(list(self._given())) != 1:
            raise PydanticCustomError(
                "kv", "give exactly one of {names}", {"names": ", ".join(_PREDICATES)}
            )
        return self

    @property
    def predicate(self) -> tuple[Predicate, Any]:
        """Which predicate is given, and what it compares with."""
        return next(self._given())

    def _given(self) -> Iterator[tuple[Predicate, Any]]:
        for name in _PREDICATES:
            value = getattr(self, name)
            if value is not (UNSET if name in _ANY_JSON else None):
                yield name, value
