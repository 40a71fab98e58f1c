"""The real service in a process of its own, on a database of its own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from benchmarks.client import answers, ask, wait_until
from benchmarks.processes import check_alive, free_port, running
from rota.db import migrations

_START_TIMEOUT = 60.0
_BATCH = 2_500


@dataclass(frozen=True, slots=True)
class Rota:
    """A running service."""

    port: int
    pid: int
    engine: Engine

    def register(self, tasks: Sequence[dict[str, Any]]) -> None:
        """Register tasks, however many."""
        for start in range(0, len(tasks), _BATCH):
            batch = {"items": tasks[start : start + _BATCH]}
            ask(self.port, "POST", "/v1/tasks/batch", batch, expect=201)

    def read(self, query: str, **values: Any) -> list[Any]:
        """Read from the service's database, past the service."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), values))


def sqlite_url(folder: Path) -> str:
    """Return the URL of the SQLite file in a folder."""
    return f"sqlite:///{folder / 'rota.db'}"


def migrated(url: str) -> str:
    """Bring a database to the newest schema; return its URL."""
    migrations.upgrade(url)
    return url


@contextmanager
def serving(url: str, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[Rota]:
    """Serve a migrated database during the block; `more` are further settings."""
    port, log = free_port(), folder / "rota.log"
    settings = {
        "ROTA_DATABASE_URL": url,
        "ROTA_HANDLERS": "benchmarks.handlers",
        "ROTA_LOG_LEVEL": "warning",
        "ROTA_DRAIN_GRACE": "5",
        **(more or {}),
    }
    arguments = ("--host", "127.0.0.1", "--port", str(port))
    engine = create_engine(url, poolclass=NullPool)
    with running("benchmarks.serve_rota", *arguments, log=log, settings=settings) as child:

        def ready() -> bool:
            check_alive(child, log)
            return answers(port, "/readyz")

        wait_until(ready, "Rota is ready", _START_TIMEOUT)
        yield Rota(port, child.pid, engine)
        check_alive(child, log)
