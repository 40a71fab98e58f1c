"""Preconditions of a write (RFC 9110, 13.1): what must exist, or must not, when it is executed."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from rota.domain.primitives.ids import Id

#: What an entity tag represents: a task at a generation, or an entry of its kv at a version.
Tag = tuple[Id, int]


class AnyTag:
    """`*`: every tag there is."""

    def __contains__(self, tag: object) -> bool:
        return tag is not None


@dataclass(frozen=True, slots=True)
class Precondition:
    """`match`: the present tag is one of these. `none_match`: it is none of these, or nothing exists."""

    match: Collection[Tag] | AnyTag | None = None
    none_match: Collection[Tag] | AnyTag = ()

    @classmethod
    def exactly(cls, id: Id, number: int) -> Self:
        """Require the version that was read."""
        return cls(match=((id, number),))

    @classmethod
    def nothing(cls) -> Self:
        """Require that nothing exists."""
        return cls(none_match=AnyTag())

    def is_met_by(self, present: Tag | None) -> bool:
        """Return whether the present tag (None: nothing exists) meets the condition."""
        matches = self.match is None or present in self.match
        return matches and present not in self.none_match
