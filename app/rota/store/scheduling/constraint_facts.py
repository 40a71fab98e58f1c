"""What the constraint checker reads: the tasks with runs that wait for constraints, and kv entries.

They are read by task: the constraints are the task's, so all of its runs wait for the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, case, func, or_, select, text

from rota.db.tables import kv, run, task
from rota.db.types import is_one_of, spelled_out
from rota.domain.constraints.definitions import Constraint
from rota.domain.constraints.evaluation import UNREADABLE, Place
from rota.domain.kv.present import JSON_TYPE
from rota.domain.primitives.ids import NO_ID, Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.definitions import Unreadable
from rota.errors import Sealed
from rota.store.definitions import read_definition
from rota.store.sealing.sealed_values import open_value

_MOST_PLACES = 500
# Not those that wait for a resumption, a handler or another run: they come to their constraints afterwards.
FOR_CONSTRAINTS = run.c.waiting_on.startswith('["constraint:', autoescape=True)
WAITING = (
    run.c.status == spelled_out(RunStatus.BLOCKED),
    run.c.constrained,
    FOR_CONSTRAINTS,
)
# Spelled as the index has it: one look into it finds that there is nothing to do.
_ANY = select(text("1")).where(
    run.c.status == spelled_out(RunStatus.BLOCKED), text("run.constrained")
)


def _later(one: Any, other: Any) -> Any:
    return case((one > other, one), else_=other)


# Since when a run that has not started yet could have done so.
SINCE = _later(run.c.scheduled_for, run.c.created_at)
_BY_TASK = (
    select(
        run.c.task_id,
        func.count().label("runs"),
        func.min(run.c.waiting_on).label("least"),
        func.max(run.c.waiting_on).label("most"),
        func.min(case((run.c.attempt == 0, SINCE))).label("since"),
        func.min(case((run.c.attempt > 0, run.c.first_started_at))).label("started_at"),
    )
    .where(*WAITING, run.c.task_id > bindparam("g_after", type_=run.c.task_id.type))
    .group_by(run.c.task_id)
    .order_by(run.c.task_id)
    .limit(bindparam("g_limit", type_=Integer))
)
_TASKS = select(task.c.id, task.c.name, task.c.generation, task.c.definition).where(
    is_one_of(task.c.id, "g_ids")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTask:
    """A task with runs that wait for its constraints."""

    id: Id
    name: str
    generation: int
    #: None: this version cannot read them, so no run is released.
    constraints: tuple[Constraint, ...] | None
    runs: int
    #: The `waiting_on` of all of its runs, or None if it differs.
    recorded: tuple[str, ...] | None
    #: From when a deadline counts, of the first run that has not started.
    since: datetime | None
    #: When the run that started first did so, of those that wait to be tried again.
    started_at: datetime | None
    #: No retry starts later than this after the first attempt.
    max_elapsed: timedelta | None

    @property
    def retry_until(self) -> datetime | None:
        """Until when the run that started first can be tried again."""
        if self.started_at is None or self.max_elapsed is None:
            return None
        return self.started_at + self.max_elapsed


def waiting_tasks(
    connection: Connection, after: Id | None = None, *, limit: int
) -> list[WaitingTask]:
    """Return up to `limit` tasks with runs that wait for constraints, by id, from `after` on."""
    if connection.execute(_ANY.limit(1)).first() is None:
        return []
    given = {"g_after": after or NO_ID, "g_limit": limit}
    rows = connection.execute(_BY_TASK, given).all()
    owners = connection.execute(_TASKS, {"g_ids": [row.task_id for row in rows]})
    known = {owner.id: owner for owner in owners}
    # One may be gone since, with its runs: the two statements need not see the same moment.
    return [_to_waiting(row, known[row.task_id]) for row in rows if row.task_id in known]


def entries(
    connection: Connection, places: Iterable[Place], now: datetime
) -> tuple[dict[Place, Any], frozenset[Id]]:
    """Return the live kv entries at these places, and the tasks of whose tables they are."""
    wanted = sorted(set(places))
    found: dict[Place, Any] = {}
    owners: set[Id] = set()
    for start in range(0, len(wanted), _MOST_PLACES):
        some = wanted[start : start + _MOST_PLACES]
        names = _task_names(connection, {name for name, _ in some})
        owners |= names.keys()
        found |= _read_entries(connection, names, {key for _, key in some}, now)
    return {place: found[place] for place in wanted if place in found}, frozenset(owners)


def _task_names(connection: Connection, names: set[str]) -> dict[Id, str]:
    named = select(task.c.id, task.c.name).where(
        task.c.name.in_(names), task.c.deleted_at.is_(None)
    )
    return {row.id: row.name for row in connection.execute(named)}


def _read_entries(
    connection: Connection, names: Mapping[Id, str], keys: set[str], now: datetime
) -> dict[Place, Any]:
    live = or_(kv.c.expires_at.is_(None), kv.c.expires_at > now)
    found = select(kv).where(kv.c.task_id.in_(names), kv.c.key.in_(keys), live)
    return {
        (names[row.task_id], row.key): _read_entry(connection, row)
        for row in connection.execute(found)
    }


def _read_entry(connection: Connection, row: Any) -> Any:
    """Return the value of an entry; UNREADABLE in place of an error, which would stop the other tasks as well."""
    try:
        value = open_value(connection, row)
    except Sealed:
        return UNREADABLE
    return json_text.loads(value) if row.content_type == JSON_TYPE else value


def _to_waiting(row: Any, of: Any) -> WaitingTask:
    definition = read_definition(of.definition)
    readable = not isinstance(definition.schedule, Unreadable)
    return WaitingTask(
        id=of.id,
        name=of.name,
        generation=of.generation,
        constraints=definition.constraints if readable else None,
        runs=row.runs,
        recorded=tuple(json_text.loads(row.most)) if row.least == row.most else None,
        since=row.since,
        started_at=row.started_at,
        max_elapsed=definition.retry.max_elapsed,
    )
