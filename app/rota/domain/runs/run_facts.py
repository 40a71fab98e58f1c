"""The facts of a run that its state after an attempt depends on."""

from datetime import datetime
from typing import Protocol, Self

from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.reasons import CancelReason


class Counted(Protocol):
    """A run with its counters, as it was claimed or as it was read."""

    @property
    def id(self) -> Id: ...
    @property
    def failures(self) -> int: ...
    @property
    def lost_count(self) -> int: ...
    @property
    def conflict_count(self) -> int: ...
    @property
    def first_started_at(self) -> datetime: ...


@value_class(kw_only=True)
class RunFacts:
    """The facts of a run that its next state depends on."""

    id: Id
    failures: int
    lost_count: int
    conflict_count: int
    first_started_at: datetime
    cancel_reason: CancelReason | None = None

    @classmethod
    def of(cls, run: Counted, cancel_reason: str | None) -> Self:
        """Return the facts of a run, with the reason of a cancel that is requested."""
        return cls(
            id=run.id,
            failures=run.failures,
            lost_count=run.lost_count,
            conflict_count=run.conflict_count,
            first_started_at=run.first_started_at,
            cancel_reason=None if cancel_reason is None else CancelReason(cancel_reason),
        )
