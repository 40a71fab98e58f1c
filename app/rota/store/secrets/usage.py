"""Which tasks refer to a secret. Reads all `http` tasks that have a reference or a sealed header."""

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from rota.db.tables import task
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.http_target.target import SEALED
from rota.domain.primitives.ids import Id
from rota.domain.tasks.definition import HTTP_HANDLER, TaskDefinition, TaskStatus
from rota.errors import Sealed
from rota.store.sealing.secret_headers import open_headers
from rota.store.task_names import covers
from rota.store.task_rows import read_definition

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
        using = [row.name for row in rows if _refers(connection, row.id, row.definition, secret)]
        count += len(using)
        names += using[: MOST_NAMED - len(names)]
        behind = rows[-1].name if len(rows) == _PAGE else None
    return Usage(tuple(names), count)


_CANDIDATES = (
    select(task.c.id, task.c.name, task.c.definition)
    .where(
        task.c.handler == HTTP_HANDLER,
        task.c.deleted_at.is_(None),
        task.c.status != TaskStatus.CANCELLED,
        or_(task.c.definition.contains("secret"), task.c.definition.contains(f'"{SEALED}":')),
    )
    .order_by(task.c.name)
    .limit(_PAGE)
)


def _refers(connection: Connection, task_id: Id, text: str, secret: str) -> bool:
    definition: TaskDefinition = read_definition(text)
    with suppress(Sealed):
        definition = open_headers(connection, task_id, definition)
    return definition.target is not None and secret in definition.target.secret_names
