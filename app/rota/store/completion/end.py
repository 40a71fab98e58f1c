"""The end of one attempt, as it is to be written."""

from datetime import datetime
from typing import Protocol

from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class
from rota.domain.runs.model import Progress
from rota.domain.runs.settlement import Settlement


class HeldRun(Protocol):
    """A run whose attempt ends, as it was claimed or as the reaper has read it."""

    @property
    def id(self) -> Id: ...
    @property
    def task_id(self) -> Id: ...
    @property
    def attempt(self) -> int: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def queue(self) -> str: ...
    @property
    def trigger(self) -> str: ...
    @property
    def concurrency_key(self) -> str | None: ...
    @property
    def constrained(self) -> bool: ...


@value_class(kw_only=True)
class End:
    """The end of one attempt, as it is to be written."""

    run: HeldRun
    #: None: its token is what holds it.
    holder: Id | None
    #: As it was when the settlement was decided; a cancel may be requested meanwhile.
    cancel_reason: str | None
    settlement: Settlement
    progress: Progress | None = None
    #: Of an attempt that ends since its lease has expired: that lease.
    lease_expires_at: datetime | None = None
