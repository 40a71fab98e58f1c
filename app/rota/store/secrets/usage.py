"""Which tasks refer to a secret.

Reads all `http` tasks that have a reference or a sealed header, and all notifiers whose input is not secret.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from rota.db.tables import task
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.alerts.notifiers import WITH_SECRETS, secret_names_of
from rota.domain.http_target.secret_headers import SEALED
from rota.domain.tasks.definition import HTTP_HANDLER, TaskDefinition, TaskStatus
from rota.errors import Sealed
from rota.store.definitions import read_definition
from rota.store.sealing.secret_headers import open_headers
from rota.store.task_names import covers

_PAGE = 500
#: How many tasks are named.
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Usage:
    """The first of the tasks that refer to a secret, by name, and how many there are."""

    tasks: tuple[str, ...]
    count: int


def tasks_with(connection: Connection, secret: str, limit: NameLimit = UNLIMITED) -> Usage:
    """Return which tasks refer to a secret and may still run; cancelled ones do not count, nor those beyond a limit."""
    candidates = _CANDIDATES.where(covers(limit, task.c.name))
    names: list[str] = []
    count = 0
    behind: str | None = ""
    while behind is not None:
        rows = connection.execute(candidates.where(task.c.name > behind)).all()
        using = [row.name for row in rows if _refers(connection, row, secret)]
        count += len(using)
        names += using[: MOST_NAMED - len(names)]
        behind = rows[-1].name if len(rows) == _PAGE else None
    return Usage(tuple(names), count)


_CANDIDATES = (
    select(task.c.id, task.c.name, task.c.handler, task.c.definition, task.c.input)
    .where(
        task.c.deleted_at.is_(None),
        task.c.status != TaskStatus.CANCELLED,
        or_(
            and_(
                task.c.handler == HTTP_HANDLER,
                or_(
                    task.c.definition.contains("secret"), task.c.definition.contains(f'"{SEALED}":')
                ),
            ),
            and_(task.c.handler.in_(WITH_SECRETS), task.c.input.contains("secret")),
        ),
    )
    .order_by(task.c.name)
    .limit(_PAGE)
)


def _refers(connection: Connection, row: Any, secret: str) -> bool:
    if row.handler != HTTP_HANDLER:
        return secret in secret_names_of(row.handler, row.input)
    definition: TaskDefinition = read_definition(row.definition)
    with suppress(Sealed):
        definition = open_headers(connection, row.id, definition)
    return definition.target is not None and secret in definition.target.secret_names
