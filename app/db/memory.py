"""A database in memory, for tests of handlers: one connection, and commands that are committed where they are given."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from app.clock import Clock
from app.db.tables import metadata
from app.db.writer import Command, R, Transaction
from app.domain.effects import Effect

_READS_ONLY = "rota_reads_only"


class MemoryDatabase:
    """An SQLite database with every table, gone when it is closed. For one thread at a time; nothing in it waits."""

    def __init__(self, clock: Clock, on_commit: Callable[[Sequence[Effect]], None]) -> None:
        self._clock = clock
        self._on_commit = on_commit
        self._engine = _engine()
        metadata.create_all(self._engine)
        self._connection = self._engine.connect()
        # The same one to the database, without a transaction around each read.
        self._reading = self._engine.connect().execution_options(**{_READS_ONLY: True})

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give the connection to read with: with one thread, what is read is of one moment."""
        yield self._reading

    def do(self, command: Command[R]) -> R:
        """Carry out a command in a transaction of its own, hand its effects on; raises what it raises."""
        tx = Transaction(self._connection, self._clock.now())
        with self._connection.begin():
            answer = command.apply(tx)
        if tx.effects:
            self._on_commit(tx.effects)
        return answer

    def close(self) -> None:
        self._reading.close()
        self._connection.close()
        self._engine.dispose()


def _engine() -> Engine:
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `_begin` says
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if _READS_ONLY not in connection.get_execution_options():
            connection.exec_driver_sql("BEGIN")

    return engine
