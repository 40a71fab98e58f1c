"""Commands: the writes of the service as data, and the transaction that they are applied in."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import Connection, NestedTransaction

from rota.domain.effects import Effect

R = TypeVar("R")


@dataclass(slots=True)
class Transaction:
    """What a command works with: the connection, one time for the whole group, and the effects of the commit."""

    connection: Connection
    now: datetime
    effects: list[Effect] = field(default_factory=list)
    #: How many of the effects have been followed up (`Writer(follow_up=...)`).
    followed_up: int = 0

    @property
    def is_sqlite(self) -> bool:
        return self.connection.dialect.name == "sqlite"

    @contextmanager
    def savepoint(self) -> Iterator[NestedTransaction]:
        """Keep what is written inside, and its effects, unless it raises or rolls the savepoint back."""
        effects, followed_up = len(self.effects), self.followed_up
        try:
            with self.connection.begin_nested() as savepoint:
                yield savepoint
                kept = savepoint.is_active
            if not kept:
                self._take_back(effects, followed_up)
        except BaseException:
            self._take_back(effects, followed_up)
            raise

    def _take_back(self, effects: int, followed_up: int) -> None:
        del self.effects[effects:]
        self.followed_up = followed_up


FollowUp = Callable[[Transaction], None]


class StaleError(Exception):
    """Another replica changed what a command has read before it wrote: the same command may succeed when repeated."""


class Command(Generic[R]):
    """A write. Subclasses are frozen data with an `apply`, or, for frequent commands, an `apply_all`."""

    batched: ClassVar[bool] = False
    #: Whether it is retried for a while if a row it needs is locked; if not, its caller gets Locked at once.
    patient: ClassVar[bool] = True

    def apply(self, tx: Transaction) -> R:
        """Execute this one command; the caller gets what it raises, and nothing of it is stored then."""
        result = self.apply_all(tx, [self])[0]
        if isinstance(result, Exception):
            raise result
        return result

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence[Any]) -> Sequence[R | Exception]:
        """Execute several commands of this kind; if this raises, they are executed again one by one.

        Returns their results in order. An exception as a result is raised to that command's caller; nothing of that
        command may have been written.
        """
        return [command.apply(tx) for command in commands]
