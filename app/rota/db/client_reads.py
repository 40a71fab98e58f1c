"""Read transactions of clients, which take turns, so that none has all connections."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection

from rota.db.engine import Database


class ClientReads:
    """The database as routes see it. `turn` is entered for each read, in its thread, and may wait or raise."""

    def __init__(
        self, database: Database, turn: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._database = database
        self._turn = turn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction, as `Database.read` does; raises what `turn` raises, and Unavailable."""
        with self._turn(), self._database.read() as opened:
            yield opened

    def trouble(self) -> str | None:
        """Return the permanent failure of the database, None if there is none."""
        return self._database.trouble()
