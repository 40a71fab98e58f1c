"""Read transactions of requests: those of one stored key have half of the connections at most."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rota.api.http.calls import current_call
from rota.db.engine import Database, ReadTransaction


class ClientReads:
    """The database as routes see it. Who is served in a loop, or in a thread of its own, reads past it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """Open a read-only transaction, as `Database.read` does; in a thread.

        Waits for other reads of the same key; raises RateLimited if they last too long, and Unavailable.
        """
        share = current_call().share
        with nullcontext() if share is None else share.reading(), self._database.read() as opened:
            yield opened

    def trouble(self) -> str | None:
        """Return the permanent failure of the database, None if there is none."""
        return self._database.trouble()
