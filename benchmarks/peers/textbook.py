"""The textbook: a FastAPI + SQLModel endpoint that commits per request; and the same without the database.

It validates as much as Rota does (a union of schedules, durations, a retry policy), keeps and shows the same
fields, and is as durable: WAL with `synchronous=FULL`. It neither computes fire times nor knows
handlers.
"""

import argparse
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from fastapi import Depends, FastAPI, HTTPException
from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator
from pydantic import Field as Member
from sqlalchemy import JSON, Engine, event
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, create_engine

from benchmarks.peers.serving import serve
from benchmarks.processes import die_with_parent
from benchmarks.traffic import PATH

_DURATION = re.compile(r"\d+(ms|s|m|h|d)")
_CRON_FIELD = re.compile(r"[\d*/,A-Z-]+", re.IGNORECASE)
_ZONES = available_timezones()
_LOCK_TIMEOUT = 30
_POOL = 40


def _check_duration(text: str) -> str:
    if not _DURATION.fullmatch(text):
        raise ValueError("not a duration such as 15m")
    return text


Duration = Annotated[str, AfterValidator(_check_duration)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(_Input):
    type: Literal["interval"]
    every: Duration
    anchor: datetime | None = None


class Once(_Input):
    type: Literal["once"]
    at: datetime | None = None
    delay: Duration | None = None


class Cron(_Input):
    type: Literal["cron"]
    expression: str
    timezone: str = "UTC"

    @field_validator("expression")
    @classmethod
    def _has_fields(cls, expression: str) -> str:
        fields = expression.split()
        if len(fields) != 5 or not all(map(_CRON_FIELD.fullmatch, fields)):
            raise ValueError("not a cron expression")
        return expression

    @field_validator("timezone")
    @classmethod
    def _exists(cls, timezone: str) -> str:
        if timezone not in _ZONES:
            raise ValueError("not a time zone")
        return timezone


class Retry(_Input):
    max_attempts: int = Member(3, ge=1, le=1000)
    backoff: Literal["exponential", "linear", "constant"] = "exponential"
    initial_interval: Duration = "10s"
    multiplier: float = Member(2, ge=1, le=100)


class TaskIn(_Input):
    name: str = Member(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    description: str = Member("", max_length=2_000)
    handler: str = Member(min_length=1, max_length=128)
    input: Any = None
    schedule: Annotated[Interval | Once | Cron, Member(discriminator="type")]
    timeout: Duration = "300s"
    retry: Retry = Retry()
    queue: str = Member("default", max_length=128)
    priority: int = Member(0, ge=-32_768, le=32_767)
    tags: tuple[str, ...] = Member((), max_length=32)


class TaskRow(SQLModel, table=True):
    __tablename__ = "task"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(unique=True)
    description: str
    handler: str
    input: Any = Field(sa_type=JSON)
    schedule: dict[str, Any] = Field(sa_type=JSON)
    timeout: str
    retry: dict[str, Any] = Field(sa_type=JSON)
    queue: str
    priority: int
    tags: list[str] = Field(sa_type=JSON)
    status: str = "active"
    generation: int = 1
    next_fire_at: datetime | None = Field(None, index=True)
    created_at: datetime
    updated_at: datetime


class TaskOut(TaskIn):
    """What was kept; a textbook endpoint shows all of it."""

    id: UUID
    status: str
    generation: int
    next_fire_at: datetime | None
    created_at: datetime
    updated_at: datetime


def create_app(url: str | None) -> FastAPI:
    """Return the application with one endpoint; without a URL it stores nothing."""
    app = FastAPI()
    if url is None:
        app.post(PATH, status_code=201, response_model=TaskOut)(register_nowhere)
        return app
    engine = _engine(url)
    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables["task"]])

    def session() -> Iterator[Session]:
        with Session(engine) as opened:
            yield opened

    @app.post(PATH, status_code=201, response_model=TaskOut)
    def register(body: TaskIn, session: Annotated[Session, Depends(session)]) -> TaskRow:
        row = _row(body)
        session.add(row)
        try:
            session.commit()
        except IntegrityError:
            raise HTTPException(409, f"There is a task {body.name!r} already.") from None
        session.refresh(row)
        return row

    return app


def register_nowhere(body: TaskIn) -> TaskRow:
    """Validate, build, answer."""
    return _row(body)


def _row(body: TaskIn) -> TaskRow:
    now = datetime.now(UTC)
    return TaskRow(**body.model_dump(mode="json"), next_fire_at=now, created_at=now, updated_at=now)


def _engine(url: str) -> Engine:
    """A pool that never keeps a request waiting, and a time-out that lets every writer have its turn."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=_POOL)
    engine = create_engine(
        url,
        pool_size=_POOL,
        connect_args={"check_same_thread": False, "timeout": _LOCK_TIMEOUT},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--url", help="without it, nothing is stored")
    given = parser.parse_args()
    serve(create_app(given.url), given.port)


if __name__ == "__main__":
    die_with_parent()
    main()
