"""What metrics read from the database: a few statements, each of which an index answers."""

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import (
    Connection,
    Integer,
    String,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
    union_all,
)
from sqlalchemy.exc import SQLAlchemyError

from rota.clock import Clock
from rota.db.engine import Database
from rota.db.engines.sqlite_file import wal_bytes
from rota.db.tables import alert, notification, run, task
from rota.db.types import spelled_out
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import TaskStatus
from rota.errors import Unavailable
from rota.metrics.stored import Measures, QueueMeasure, TaskMeasure
from rota.store.definitions import read_definition
from rota.store.holds.lasting import number_lasting
from rota.store.holds.reading import holds_that_matter
from rota.store.runs.claiming.claim import earliest_delayed

log = structlog.get_logger(__name__)

#: Scrapes within this many seconds show the same numbers.
KEPT_FOR = 5.0
#: The queues that are shown: those with the most unfinished runs.
MOST_QUEUES = 200

_LIMIT = bindparam("g_limit", type_=Integer)
_SHOWN = (task.c.id, task.c.name, task.c.last_success_at, task.c.consecutive_failures)
_IS_ACTIVE = task.c.status == spelled_out(TaskStatus.ACTIVE)
_NOT_DELETED = task.c.deleted_at.is_(None)
_FAILING = (
    select(*_SHOWN)
    .where(task.c.consecutive_failures > literal_column("0"), _IS_ACTIVE)
    .order_by(task.c.consecutive_failures.desc())
    .limit(_LIMIT)
)
_BY_NAME = {
    status: select(*_SHOWN)
    .where(task.c.status == spelled_out(status), _NOT_DELETED)
    .order_by(task.c.name)
    .limit(_LIMIT)
    for status in (TaskStatus.ACTIVE, TaskStatus.PAUSED)
}
_TASKS_BY_STATUS = select(task.c.status, func.count()).where(_NOT_DELETED).group_by(task.c.status)
_EARLIEST_DUE = (
    select(task.c.next_fire_at, task.c.name, task.c.queue, task.c.definition)
    .where(_IS_ACTIVE, task.c.next_fire_at.is_not(None), task.c.deferred_until.is_(None))
    .order_by(task.c.next_fire_at)
    .limit(1)
)
_ALERTS_BY_KIND = select(alert.c.kind, func.count()).group_by(alert.c.kind)
_PENDING = select(func.count()).where(notification.c.not_before.is_not(None))
# What a run waits for is another thing to look at in each of these; each is an index of its own.
_QUEUED = run.c.status == spelled_out(RunStatus.QUEUED)
_STATES = {
    "queued": (_QUEUED, run.c.not_before.is_(None)),
    "delayed": (_QUEUED, run.c.not_before.is_not(None)),
    "blocked": (run.c.status == spelled_out(RunStatus.BLOCKED),),
    "running": (run.c.status == spelled_out(RunStatus.RUNNING),),
}
_DEPTHS = union_all(
    *(
        select(
            run.c.queue,
            literal_column(f"'{name}'", String).label("state"),
            func.count().label("number"),
            # An id begins with the time at which it was made. PostgreSQL has a minimum of texts only.
            (
                func.min(cast(run.c.id, String))
                if name == "queued"
                else literal_column("NULL", String)
            ).label("first"),
        )
        .where(*which)
        .group_by(run.c.queue)
        for name, which in _STATES.items()
    )
)
_POSTGRES_SIZE = text("SELECT pg_database_size(current_database())")
_SQLITE_SIZE = text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")


def server_of(connection: Connection) -> str:
    """Return the kind and the version of the database, such as `sqlite 3.45.1`."""
    numbers = connection.dialect.server_version_info or ()
    return f"{connection.dialect.name} {'.'.join(map(str, numbers))}"


def measure(database: Database, most_tasks: int, now: datetime) -> Measures:
    """Return what the database has now, all of one moment. Raises Unavailable."""
    with database.read() as connection:
        size = _SQLITE_SIZE if database.is_sqlite else _POSTGRES_SIZE
        return Measures(
            tasks=_shown_tasks(connection, most_tasks),
            tasks_by_status=_numbers(connection, _TASKS_BY_STATUS),
            queues=_queues(connection, now),
            overdue=_overdue(connection, now),
            alerts_by_kind=_numbers(connection, _ALERTS_BY_KIND),
            notifications=connection.execute(_PENDING).scalar_one(),
            holds=number_lasting(connection, now),
            database_bytes=connection.execute(size).scalar_one(),
            wal_bytes=wal_bytes(database.url) if database.is_sqlite else None,
        )


def _shown_tasks(connection: Connection, most: int) -> list[TaskMeasure]:
    """Return the active tasks that fail, most failures in a row first, then active and paused ones by name."""
    if most == 0:
        return []
    shown = {row.id: row for row in connection.execute(_FAILING, {"g_limit": most})}
    others = [
        row
        for statement in _BY_NAME.values()
        for row in connection.execute(statement, {"g_limit": most})
    ]
    for row in sorted(others, key=lambda row: row.name):
        if len(shown) >= most:
            break
        shown.setdefault(row.id, row)
    return [_to_task(row) for row in shown.values()]


def _to_task(row: Any) -> TaskMeasure:
    at: datetime | None = row.last_success_at
    return TaskMeasure(
        id=row.id,
        name=row.name,
        last_success_at=None if at is None else at.timestamp(),
        consecutive_failures=row.consecutive_failures,
    )


def _numbers(connection: Connection, statement: Any) -> Mapping[str, int]:
    return {row[0]: row[1] for row in connection.execute(statement)}


def _queues(connection: Connection, now: datetime) -> list[QueueMeasure]:
    depths: defaultdict[str, dict[str, int]] = defaultdict(dict)
    oldest: dict[str, float] = {}
    for queue, state, number, first in connection.execute(_DEPTHS):
        depths[queue][state] = number
        if first is not None:
            oldest[queue] = max(now.timestamp() - _made_at(first), 0.0)
    deepest = sorted(depths, key=lambda name: -sum(depths[name].values()))[:MOST_QUEUES]
    return [
        QueueMeasure(name=name, depth=depths[name], oldest=oldest.get(name, 0.0))
        for name in deepest
    ]


def _made_at(id: str) -> float:
    """Return when an id was made (RFC 9562, 5.7: 48 bits of milliseconds), in seconds since 1970."""
    return int(id.replace("-", "")[:12], 16) / 1_000


def _overdue(connection: Connection, now: datetime) -> float:
    due = _due_since(connection, now)
    late = [now - at for at in (due, earliest_delayed(connection)) if at is not None]
    return max([timedelta(), *late]).total_seconds()


def _due_since(connection: Connection, now: datetime) -> datetime | None:
    """Return since when a fire time has been due; one that waited for a hold to end, since its end."""
    row = connection.execute(_EARLIEST_DUE).one_or_none()
    if row is None or row.next_fire_at >= now:
        return None
    at: datetime = row.next_fire_at
    holds = holds_that_matter(connection)
    if not holds:
        return at
    return holds.plannable_from(row.name, row.queue, read_definition(row.definition).tags, at, now)


@dataclass(slots=True)
class _Kept:
    measures: Measures | None
    until: float


class Measuring:
    """Measures on request, at most once in a few seconds, whoever asks."""

    def __init__(self, database: Database, clock: Clock, most_tasks: int) -> None:
        self._database = database
        self._clock = clock
        self._most_tasks = most_tasks
        self._lock = threading.Lock()
        self._kept = _Kept(None, float("-inf"))

    def __call__(self) -> Measures | None:
        """Return what the database had a few seconds ago at most; None if it does not answer."""
        with self._lock:
            if self._clock.monotonic() >= self._kept.until:
                found = self._measure()
                self._kept = _Kept(found, self._clock.monotonic() + KEPT_FOR)
            return self._kept.measures

    def _measure(self) -> Measures | None:
        try:
            return measure(self._database, self._most_tasks, self._clock.now())
        except (Unavailable, SQLAlchemyError) as error:
            log.warning("metrics.not_read", error=str(error)[:300])
            return None
