"""Commands for tests of the writer, and what they have written."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Select, event, insert, select, text, update

from rota.db import tables
from rota.db.command import Command, Transaction
from rota.domain.effects import RunsReady
from tests.support.factories import (
    HANDLERS,
    World,
)


@dataclass(frozen=True)
class Put(Command[str]):
    """Insert a row called `name` and emit an effect; may raise afterwards."""

    name: str
    error: Exception | None = None

    def apply(self, tx: Transaction) -> str:
        row = {"name": self.name, "description": "", "isolation": "none", "updated_at": tx.now}
        tx.connection.execute(insert(tables.handler), row)
        tx.effects.append(RunsReady(self.name))
        if self.error is not None:
            raise self.error
        return f"put {self.name}"


@dataclass(frozen=True)
class PutTogether(Command[str]):
    """The same, in one statement for all."""

    batched = True

    name: str
    error: Exception | None = None

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["PutTogether"]) -> list[str]:
        answers = [Put(command.name).apply(tx) for command in commands]
        for command in commands:
            if command.error is not None:
                raise command.error
        return [f"{answer} of {len(commands)}" for answer in answers]


class Statement(Command[int]):
    """Execute some SQL, but only the first times."""

    def __init__(self, sql: str, times: int = 1_000) -> None:
        self._sql = sql
        self.left = times

    def apply(self, tx: Transaction) -> int:
        if self.left:
            self.left -= 1
            tx.connection.execute(text(self._sql))
        return self.left


class Now(Command[datetime]):
    def apply(self, tx: Transaction) -> datetime:
        return tx.now


@dataclass(frozen=True)
class Count(Command[str]):
    """Append an x to a handler's description, which needs its lock. `kind` distinguishes two of them."""

    name: str
    kind: str = ""

    def apply(self, tx: Transaction) -> str:
        counted = tables.handler.c.description + "x"
        of_it = tables.handler.c.name == self.name
        done = tx.connection.execute(
            update(tables.handler).where(of_it).values(description=counted)
        )
        assert done.rowcount == 1
        return "counted"


def row_of(name: str) -> Select[Any]:
    return select(tables.handler.c.name).where(tables.handler.c.name == name)


def description(world: World, name: str) -> str:
    wanted = select(tables.handler.c.description).where(tables.handler.c.name == name)
    with world.database.read() as connection:
        return str(connection.execute(wanted).scalar_one())


def names_in(world: World) -> set[str]:
    with world.database.read() as connection:
        found = set(connection.execute(select(tables.handler.c.name)).scalars())
    return found - set(HANDLERS)


@contextmanager
def committed_in(engine: Engine) -> Iterator[list[int]]:
    """Count the commits in this context."""
    seen: list[int] = []

    def note(_connection: Any) -> None:
        seen.append(1)

    event.listen(engine, "commit", note)
    yield seen
    event.remove(engine, "commit", note)
