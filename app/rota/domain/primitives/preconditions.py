"""Preconditions of a write (RFC 9110, 13.1): what must be there, or must not, when it is carried out."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from rota.domain.primitives.ids import Id

#: What an entity tag stands for: a task at a generation, or an entry of its kv at a version.
Tag = tuple[Id, int]


class AnyTag:
    """`*`: every tag there is."""

    def __contains__(self, tag: object) -> bool:
        return tag is not None


@dataclass(frozen=True, slots=True)
class Precondition:
    """`match`: what is there is one of these. `none_match`: what is there is none of these, or nothing is there."""

    match: Collection[Tag] | AnyTag | None = None
    none_match: Collection[Tag] | AnyTag = ()

    @classmethod
    def exactly(cls, id: Id, number: int) -> Self:
        """Demand what was read."""
        return cls(match=((id, number),))

    @classmethod
    def nothing(cls) -> Self:
        """Demand that nothing is there."""
        return cls(none_match=AnyTag())

    def is_met_by(self, present: Tag | None) -> bool:
        """Tell whether what is there (None: nothing) is what is demanded."""
        matches = self.match is None or present in self.match
        return matches and present not in self.none_match
