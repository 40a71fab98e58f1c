"""APScheduler's SQLAlchemyJobStore, as durable as Rota is."""

from pathlib import Path
from typing import Any

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from sqlalchemy import create_engine, event


def durable_job_store(folder: Path) -> SQLAlchemyJobStore:
    """Return a job store on a SQLite file with WAL and `synchronous=FULL`."""
    engine = create_engine(
        f"sqlite:///{folder / 'apscheduler.db'}", connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return SQLAlchemyJobStore(engine=engine)
