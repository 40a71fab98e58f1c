"""Handlers as rows, so that an API replica without the code knows them.

A replica announces those that it brings; those for workers outside are declared (`store/declared_handlers.py`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, and_, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rota.db.command import Command, Transaction
from rota.db.tables import handler, run, task
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.errors import Fault
from rota.store.replicas import OUTSIDE, known_handlers
from rota.store.runs.waiting import WAITING_ON_HANDLER, blocked, unblock


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerInfo:
    """A handler as it was announced or declared; `input_schema` is a JSON Schema or None for any input."""

    name: str
    description: str
    input_schema: dict[str, Any] | None
    timeout: timedelta | None
    isolation: str
    updated_at: datetime | None = None

    @property
    def is_outside(self) -> bool:
        """Whether workers outside execute it, by leases."""
        return self.isolation == OUTSIDE

    def fault_of(self, *, secret_input: bool) -> Fault | None:
        """Return why a task with this handler cannot have a secret input; None if it can, or has none."""
        if not (secret_input and self.is_outside):
            return None
        detail = (
            f"runs of {self.name!r} are leased to workers outside, which never get secret inputs"
        )
        return Fault("/secret_input", detail)


@dataclass(frozen=True, slots=True)
class Announce(Command[tuple[str, ...]]):
    """Make or refresh the rows of the handlers that a replica brings.

    One that was declared for workers outside is the replica's from then on: code wins. Returns the names of these.
    """

    handlers: tuple[HandlerInfo, ...]

    def apply(self, tx: Transaction) -> tuple[str, ...]:
        insert = sqlite.insert(handler) if tx.is_sqlite else postgresql.insert(handler)
        changing = {
            column: insert.excluded[column]
            for column in ("description", "input_schema", "timeout", "isolation", "updated_at")
        }
        upsert = insert.on_conflict_do_update(index_elements=["name"], set_=changing)
        rows = sorted(
            (to_row(info, tx.now) for info in self.handlers), key=lambda row: str(row["name"])
        )
        if not rows:
            return ()
        declared = select(handler.c.name).where(
            handler.c.isolation == OUTSIDE, handler.c.name.in_([row["name"] for row in rows])
        )
        taken = tuple(sorted(tx.connection.execute(declared).scalars()))
        tx.connection.execute(upsert, rows)
        return taken


@dataclass(frozen=True, slots=True)
class ReconcileHandlers(Command[int]):
    """Block queued runs whose handler no live replica knows; unblock those whose handler is known again."""

    def apply(self, tx: Transaction) -> int:
        known = known_handlers(tx.connection)
        held_back = tx.connection.execute(
            update(run)
            .where(run.c.finished_at.is_(None), run.c.status == RunStatus.QUEUED)
            .where(run.c.handler.not_in(known))
            .values(blocked(WAITING_ON_HANDLER))
        ).rowcount
        waiting = and_(
            run.c.finished_at.is_(None),
            run.c.waiting_on == WAITING_ON_HANDLER,
            run.c.handler.in_(known),
        )
        return held_back + unblock(tx, waiting)


def find_handler(connection: Connection, name: str) -> HandlerInfo | None:
    """Return the handler called `name`, or None."""
    row = connection.execute(select(handler).where(handler.c.name == name)).one_or_none()
    return None if row is None else _to_info(row)


def list_handlers(connection: Connection) -> list[HandlerInfo]:
    """Return every handler, by name."""
    return [_to_info(row) for row in connection.execute(select(handler).order_by(handler.c.name))]


def missing_handlers(connection: Connection) -> list[str]:
    """Return the handlers that no live replica knows and that active tasks name."""
    known = known_handlers(connection)
    needed = exists().where(task.c.handler == handler.c.name, task.c.status == TaskStatus.ACTIVE)
    absent = select(handler.c.name).where(handler.c.name.not_in(known), needed)
    return list(connection.execute(absent.order_by(handler.c.name)).scalars())


def to_row(info: HandlerInfo, now: datetime) -> dict[str, Any]:
    return {
        "name": info.name,
        "description": info.description,
        "input_schema": None if info.input_schema is None else json_text.dumps(info.input_schema),
        "timeout": None if info.timeout is None else info.timeout.total_seconds(),
        "isolation": info.isolation,
        "updated_at": now,
    }


def _to_info(row: Any) -> HandlerInfo:
    return HandlerInfo(
        name=row.name,
        description=row.description,
        input_schema=None if row.input_schema is None else json_text.loads(row.input_schema),
        timeout=None if row.timeout is None else timedelta(seconds=row.timeout),
        isolation=row.isolation,
        updated_at=row.updated_at,
    )


class RegisteredHandler(Protocol):
    """What is announced of a handler in a registry."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def input_schema(self) -> dict[str, Any] | None: ...
    @property
    def timeout(self) -> timedelta | None: ...
    @property
    def kind(self) -> str: ...


def describe_handler(handler: RegisteredHandler) -> HandlerInfo:
    """Return the announcement of a handler in a registry."""
    return HandlerInfo(
        name=handler.name,
        description=handler.description,
        input_schema=handler.input_schema,
        timeout=handler.timeout,
        isolation="process" if handler.kind == "process" else "none",
    )


def change_handler(tx: Transaction, task_id: Id, name: str) -> None:
    """Set the handler of a task's new definition on its waiting runs."""
    unfinished = and_(run.c.task_id == task_id, run.c.finished_at.is_(None))
    waiting = and_(unfinished, run.c.status != RunStatus.RUNNING)
    tx.connection.execute(update(run).where(waiting).values(handler=name))
    block_unknown(tx, task_id)
    if name in known_handlers(tx.connection):
        unblock(tx, and_(unfinished, run.c.waiting_on == WAITING_ON_HANDLER))


def block_unknown(tx: Transaction, task_id: Id) -> None:
    """Block the queued runs of a task whose handler no live replica knows."""
    queued = and_(
        run.c.task_id == task_id, run.c.finished_at.is_(None), run.c.status == RunStatus.QUEUED
    )
    unknown = run.c.handler.not_in(known_handlers(tx.connection))
    tx.connection.execute(update(run).where(queued, unknown).values(blocked(WAITING_ON_HANDLER)))
