"""Runs that wait for their constraints: which there are, and what becomes of them.

They are read and changed by task: the constraints are the task's, so all of its runs wait for the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    and_,
    bindparam,
    case,
    false,
    func,
    or_,
    select,
    text,
    update,
)

from rota.db.tables import kv, run, task
from rota.db.types import is_one_of, spelled_out
from rota.db.writer import Command, Transaction
from rota.domain.constraints.definitions import Constraint
from rota.domain.constraints.evaluation import UNREADABLE, Place
from rota.domain.effects import RunEnded, RunsConstrained
from rota.domain.kv.present import JSON_TYPE
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import NO_ID, Id
from rota.domain.reasons import FailReason, SkipReason
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.definitions import Unreadable
from rota.errors import Sealed
from rota.store.follow_ups import follow
from rota.store.replicas import known_handlers
from rota.store.runs.waiting import gate_of_constraints, next_gate, tell
from rota.store.sealed_values import open_value
from rota.store.task_rows import read_definition

_MOST_PLACES = 500
# Not those that wait for a resumption, a handler or another run: they come to their constraints afterwards.
_FOR_CONSTRAINTS = run.c.waiting_on.startswith('["constraint:', autoescape=True)
_WAITING = (
    run.c.status == spelled_out(RunStatus.BLOCKED),
    run.c.constrained,
    _FOR_CONSTRAINTS,
)
# Spelled as the index has it: one look into it says that there is nothing to do.
_ANY = select(text("1")).where(
    run.c.status == spelled_out(RunStatus.BLOCKED), text("run.constrained")
)


def _later(one: Any, other: Any) -> Any:
    return case((one > other, one), else_=other)


# Since when a run that has not started yet could have done so.
_SINCE = _later(run.c.scheduled_for, run.c.created_at)
_BY_TASK = (
    select(
        run.c.task_id,
        func.count().label("runs"),
        func.min(run.c.waiting_on).label("least"),
        func.max(run.c.waiting_on).label("most"),
        func.min(case((run.c.attempt == 0, _SINCE))).label("since"),
        func.min(case((run.c.attempt > 0, run.c.first_started_at))).label("started_at"),
    )
    .where(*_WAITING, run.c.task_id > bindparam("g_after", type_=run.c.task_id.type))
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
    #: None: this version cannot read them, so nothing is let through.
    constraints: tuple[Constraint, ...] | None
    runs: int
    #: What all of its runs tell as `waiting_on`, or None if they tell different things.
    told: tuple[str, ...] | None
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
    """Return the live kv entries among those asked for, and the tasks that they are looked for in."""
    wanted = sorted(set(places))
    found: dict[Place, Any] = {}
    owners: set[Id] = set()
    for start in range(0, len(wanted), _MOST_PLACES):
        some = wanted[start : start + _MOST_PLACES]
        names = _task_names(connection, {name for name, _ in some})
        owners |= names.keys()
        found |= _read_entries(connection, names, {key for _, key in some}, now)
    return {place: found[place] for place in wanted if place in found}, frozenset(owners)


@dataclass(frozen=True, slots=True)
class Release(Command[int]):
    """Queue up to `limit` runs of a task whose constraints are met; return how many.

    Nothing is queued if the task has been changed since generation `generation`, whose constraints were looked at.
    """

    patient = False

    task_id: Id
    generation: int
    limit: int

    def apply(self, tx: Transaction) -> int:
        if _lock(tx, self.task_id) != self.generation:
            return 0
        unknown = run.c.handler.not_in(known_handlers(tx.connection))
        rows = tx.connection.execute(
            update(run)
            .where(run.c.id.in_(_first(self.task_id, self.limit)), *_WAITING)
            .values(next_gate(unknown, constrained=false()))
            .returning(run.c.status, run.c.waiting_on, run.c.queue, run.c.not_before)
        ).all()
        tell(tx, rows)
        return len(rows)


@dataclass(frozen=True, slots=True)
class Tell(Command[int]):
    """Write down what up to `limit` runs of a task wait for, where they tell something else; return how many."""

    patient = False

    task_id: Id
    waiting_on: tuple[str, ...]
    limit: int

    def apply(self, tx: Transaction) -> int:
        _lock(tx, self.task_id)
        told = json_text.dumps(list(self.waiting_on))
        otherwise = run.c.waiting_on != told
        changed = (
            update(run)
            .where(run.c.id.in_(_first(self.task_id, self.limit, otherwise)), *_WAITING)
            .values(waiting_on=told)
        )
        return tx.connection.execute(changed).rowcount


@dataclass(frozen=True, slots=True)
class SkipOverdue(Command[int]):
    """Skip up to `limit` runs of a task that could have started `deadline` ago, and have not; return how many."""

    patient = False

    task_id: Id
    generation: int
    deadline: timedelta
    limit: int

    def apply(self, tx: Transaction) -> int:
        if _lock(tx, self.task_id) != self.generation:
            return 0
        overdue = (run.c.attempt == 0, tx.now - self.deadline >= _SINCE)
        ids = _first(self.task_id, self.limit, *overdue)
        return _end(tx, ids, RunStatus.SKIPPED, SkipReason.CONSTRAINT_DEADLINE)


@dataclass(frozen=True, slots=True)
class FailOverdue(Command[int]):
    """Fail up to `limit` runs of a task that started `max_elapsed` ago: too late to be tried again; return how many."""

    patient = False

    task_id: Id
    generation: int
    max_elapsed: timedelta
    limit: int

    def apply(self, tx: Transaction) -> int:
        if _lock(tx, self.task_id) != self.generation:
            return 0
        overdue = (run.c.attempt > 0, run.c.first_started_at <= tx.now - self.max_elapsed)
        ids = _first(self.task_id, self.limit, *overdue)
        return _end(tx, ids, RunStatus.FAILED, FailReason.DEADLINE)


def change_constraints(tx: Transaction, task_id: Id, *, constrained: bool) -> None:
    """Have the coming attempts of a task's runs wait for constraints, or not, as its new definition says."""
    unfinished = and_(run.c.task_id == task_id, run.c.finished_at.is_(None))
    if constrained:
        tx.connection.execute(update(run).where(unfinished).values(constrained=True))
        ready = and_(unfinished, run.c.status == RunStatus.QUEUED, run.c.not_before.is_(None))
        tx.connection.execute(update(run).where(ready).values(gate_of_constraints()))
    else:
        # Those that wait for constraints keep the mark by which they are found, and let through.
        elsewhere = or_(run.c.waiting_on.is_(None), ~_FOR_CONSTRAINTS)
        tx.connection.execute(update(run).where(unfinished, elsewhere).values(constrained=False))
    tx.effects.append(RunsConstrained())


def _first(task_id: Id, limit: int, *which: ColumnElement[bool]) -> Any:
    waiting = select(run.c.id).where(run.c.task_id == task_id, *_WAITING, *which)
    return waiting.order_by(run.c.scheduled_for, run.c.id).limit(limit)


def _lock(tx: Transaction, task_id: Id) -> int | None:
    """Lock a task, so that its runs are changed by one at a time; return its generation."""
    locked = select(task.c.generation).where(task.c.id == task_id).with_for_update()
    return tx.connection.execute(locked).scalar_one_or_none()


def _end(tx: Transaction, ids: Any, status: RunStatus, reason: SkipReason | FailReason) -> int:
    mark = len(tx.effects)
    rows = tx.connection.execute(
        update(run)
        .where(run.c.id.in_(ids), *_WAITING)
        .values(status=status, reason=reason, waiting_on=None, finished_at=tx.now)
        .returning(run.c.id, run.c.task_id, run.c.trigger, run.c.concurrency_key)
    ).all()
    if status is RunStatus.FAILED:
        _count_failures(tx, rows)
    tx.effects.extend(
        RunEnded(row.id, row.task_id, status, reason, row.trigger, row.concurrency_key)
        for row in rows
    )
    follow(tx, mark)
    return len(rows)


def _count_failures(tx: Transaction, rows: Sequence[Any]) -> None:
    if rows:
        tx.connection.execute(
            update(task)
            .where(task.c.id == rows[-1].task_id)
            .values(
                last_run_id=rows[-1].id,
                consecutive_failures=task.c.consecutive_failures + len(rows),
            )
        )


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
    """Return the value of an entry. Whatever one is, it concerns only those who wait for it: nothing is raised."""
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
        told=tuple(json_text.loads(row.most)) if row.least == row.most else None,
        since=row.since,
        started_at=row.started_at,
        max_elapsed=definition.retry.max_elapsed,
    )
