"""A database in memory, for tests of handlers: one connection, and commands that commit at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert
from sqlalchemy.pool import StaticPool

from rota.clock import Clock
from rota.db.command import Command, R, Transaction
from rota.db.tables import calendar_state, metadata
from rota.domain.effects import Effect
from rota.domain.json_schema.checks import NotCheckedError
from rota.domain.primitives.ids import NO_ID
from rota.store.follow_ups import follow_up


class MemoryDatabase:
    """An SQLite database with all tables, for one thread at a time; closing it removes it."""

    def __init__(self, clock: Clock, on_commit: Callable[[Sequence[Effect]], None]) -> None:
        self._clock = clock
        self._on_commit = on_commit
        self._engine = _engine()
        metadata.create_all(self._engine)
        self._connection = self._engine.connect()
        # As the migration does.
        self._connection.execute(insert(calendar_state), {"id": 1, "revision": NO_ID})
        # Transactions begin and end on the driver's connection: a listener would make each SQLAlchemy statement slower.
        self._driver: Any = self._connection.connection.driver_connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Provide the connection for reads; with one thread, they see one state."""
        yield self._connection

    def do(self, command: Command[R]) -> R:
        """Execute a command in a transaction of its own, and pass its effects on; raises what it raises."""
        while True:
            try:
                return self._do(command)
            except NotCheckedError as error:
                error.make()  # and retry: with one thread nothing has changed meanwhile

    def _do(self, command: Command[R]) -> R:
        tx = Transaction(self._connection, self._clock.now())
        self._driver.execute("BEGIN")
        try:
            answer = command.apply(tx)
            follow_up(tx)
        except BaseException:
            self._driver.execute("ROLLBACK")
            raise
        self._driver.execute("COMMIT")
        if tx.effects:
            self._on_commit(tx.effects)
        return answer

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()


def _engine() -> Engine:
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # `do` begins transactions
        connection.execute("PRAGMA foreign_keys=ON")

    return engine
