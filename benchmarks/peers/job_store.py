"""APScheduler's SQLAlchemyJobStore: as its documentation shows it, and tuned."""

from pathlib import Path
from typing import Any

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from sqlalchemy import create_engine, event

FILE = "apscheduler.db"


def job_store(folder: Path, *, tuned: bool) -> SQLAlchemyJobStore:
    """Return a job store on a SQLite file, with SQLite's defaults, or `tuned` with a write-ahead log.

    Both are as durable as Rota is: a commit has been synced.
    """
    url = f"sqlite:///{folder / FILE}"
    if not tuned:
        return SQLAlchemyJobStore(url=url)
    engine = create_engine(url, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return SQLAlchemyJobStore(engine=engine)
