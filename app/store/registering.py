"""Registering: what a declaration makes of the task that has its name, as API.md's table says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, insert, select, update

from app.db.tables import run, task, task_tag
from app.db.writer import Command, Transaction
from app.domain import values
from app.domain.effects import DueSooner
from app.domain.ids import new_id
from app.domain.instants import format_instant
from app.domain.runs import CancelReason, RunStatus
from app.domain.schedules import Manual, Once, Schedule, first_fire, next_fire
from app.domain.tasks import Applied, OnConflict, Registered, Task, TaskDefinition, TaskStatus
from app.errors import AppError, Conflict, Fault, Invalid, PreconditionFailed
from app.store.handlers import change_handler
from app.store.pausing import block_waiting
from app.store.statuses import cancel_unfinished, present_task
from app.store.tasks import tasks_by_name, write_definition

# A `once` in the recent past runs at once (clocks differ, networks are slow); further back it is a mistake.
OLDEST_ONCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The task as it is after a registration, and what was done."""

    task: Task
    outcome: Registered
    applied: Applied = Applied.IMMEDIATELY
    differs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Command[Registration]):
    """Register a task. Raises Conflict, PreconditionFailed or Invalid.

    `expected` is the (task id, generation) that must be there, `create_only` that none must be.
    """

    batched = True

    name: str
    definition: TaskDefinition
    paused: bool = False
    on_conflict: OnConflict = OnConflict.REJECT
    by: str = "local"
    expected: tuple[UUID, int] | None = None
    create_only: bool = False

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["Register"]) -> list[Registration]:
        known = tasks_by_name(tx.connection, [command.name for command in commands])
        new: dict[str, Task] = {}
        made: list[Registration] = []
        for command in commands:
            if command.name in new:  # twice in this group: the second one meets the first
                known |= new
                _insert(tx, new)
                new = {}
            done = _register(tx, command, known.get(command.name))
            made.append(done)
            (new if done.outcome is Registered.CREATED else known)[command.name] = done.task
        _insert(tx, new)
        return made


@dataclass(frozen=True, slots=True)
class RegisterAll(Command[list[Registration]]):
    """Register all of several tasks or none; an error points at the item (`/items/417/…`)."""

    items: tuple[Register, ...]

    def apply(self, tx: Transaction) -> list[Registration]:
        made: list[Registration] = []
        known = tasks_by_name(tx.connection, [item.name for item in self.items])
        new: dict[str, Task] = {}
        for index, item in enumerate(self.items):
            try:
                done = _register(tx, item, known.get(item.name))
            except AppError as error:
                raise _at_item(error, index) from error
            made.append(done)
            if done.outcome is Registered.CREATED:
                new[item.name] = done.task
        _insert(tx, new)
        return made


def _at_item(error: AppError, index: int) -> AppError:
    faults = error.faults or (Fault("/name", error.detail),)
    moved = [Fault(f"/items/{index}{fault.pointer}", fault.detail) for fault in faults]
    detail = error.detail.removeprefix(f"{faults[0].pointer}: ")
    return type(error)(
        f"{moved[0].pointer}: {detail}", *moved, slug=error.slug, present=error.present
    )


def _register(tx: Transaction, command: Register, existing: Task | None) -> Registration:
    _check_preconditions(command, existing)
    if existing is None:
        return _create(tx, command)
    return _register_over(tx, command, existing)


def _check_preconditions(command: Register, existing: Task | None) -> None:
    if command.create_only and existing is not None:
        raise PreconditionFailed(
            f"There is a task {command.name!r} already.", present=present_task(existing)
        )
    if command.expected is None:
        return
    if existing is None or (existing.id, existing.generation) != command.expected:
        raise PreconditionFailed(
            f"Task {command.name!r} is not as you read it.",
            present={} if existing is None else present_task(existing),
        )


def _create(tx: Transaction, command: Register) -> Registration:
    _check_not_past(command.definition.schedule, tx.now)
    made = Task(
        id=new_id(tx.now),
        name=command.name,
        definition=command.definition,
        status=TaskStatus.PAUSED if command.paused else TaskStatus.ACTIVE,
        status_reason=None,
        status_changed_at=tx.now,
        status_changed_by=command.by,
        generation=1,
        anchored_at=tx.now,
        next_fire_at=first_fire(command.definition.schedule, tx.now),
        last_run=None,
        last_success_at=None,
        consecutive_failures=0,
        kv_revision=0,
        created_at=tx.now,
        updated_at=tx.now,
    )
    return Registration(task=made, outcome=Registered.CREATED)


def _register_over(tx: Transaction, command: Register, existing: Task) -> Registration:
    alive = existing.status in {TaskStatus.ACTIVE, TaskStatus.PAUSED}
    same = same_definition(existing.definition, command.definition)
    match command.on_conflict:
        case OnConflict.REJECT:
            raise Conflict(
                f"There is a task {existing.name!r} already (generation {existing.generation}, {existing.status}). "
                "PUT it to update it, or choose another on_conflict.",
                slug="task-exists",
                present=present_task(existing),
            )
        case OnConflict.KEEP if alive:
            return Registration(task=existing, outcome=Registered.KEPT, differs=not same)
        case OnConflict.UPDATE:
            return _update(tx, command, existing, same=same)
        case _:
            return _replace(tx, command, existing)


def _update(tx: Transaction, command: Register, existing: Task, *, same: bool) -> Registration:
    """New definition, same history and kv; running work untouched; a registration never unpauses."""
    same_schedule = existing.definition.schedule == command.definition.schedule
    if not same_schedule:
        _check_not_past(command.definition.schedule, tx.now)
    anchored_at = existing.anchored_at if same_schedule else tx.now
    changed = replace(
        existing,
        definition=command.definition,
        generation=existing.generation + (not same),
        anchored_at=anchored_at,
        next_fire_at=_next_after_update(command, existing, tx.now, same_schedule=same_schedule),
        updated_at=existing.updated_at if same else tx.now,
    )
    changed = _with_status(changed, command, tx.now)
    if changed == existing:
        return Registration(task=existing, outcome=Registered.UNCHANGED)
    applied = _applied(tx, existing.id)
    _save(tx, existing, changed)
    return Registration(task=changed, outcome=Registered.UPDATED, applied=applied)


def _next_after_update(
    command: Register, existing: Task, now: datetime, *, same_schedule: bool
) -> datetime | None:
    schedule = command.definition.schedule
    if not same_schedule:
        return first_fire(schedule, now)
    if existing.status in {TaskStatus.ACTIVE, TaskStatus.PAUSED}:
        return existing.next_fire_at
    return next_fire(schedule, existing.anchored_at, now)


def _replace(tx: Transaction, command: Register, existing: Task) -> Registration:
    """Unfinished runs are cancelled, the schedule starts anew; history and kv are kept."""
    _check_not_past(command.definition.schedule, tx.now)
    cancel_unfinished(tx, [existing.id], CancelReason.REPLACED)
    changed = replace(
        existing,
        definition=command.definition,
        generation=existing.generation + 1,
        anchored_at=tx.now,
        next_fire_at=first_fire(command.definition.schedule, tx.now),
        updated_at=tx.now,
    )
    changed = _with_status(changed, command, tx.now)
    _save(tx, existing, changed)
    return Registration(task=changed, outcome=Registered.REPLACED)


def _with_status(changed: Task, command: Register, now: datetime) -> Task:
    """Return the task with the status that the registration leaves it in."""
    status = _status_after(changed, command)
    if status is changed.status:
        return changed
    return replace(
        changed,
        status=status,
        status_reason=None,
        status_changed_at=now,
        status_changed_by=command.by,
    )


def _status_after(changed: Task, command: Register) -> TaskStatus:
    if command.paused or changed.status is TaskStatus.PAUSED:
        return TaskStatus.PAUSED
    fires = changed.next_fire_at is not None or isinstance(command.definition.schedule, Manual)
    return TaskStatus.ACTIVE if fires else TaskStatus.COMPLETED


def _applied(tx: Transaction, task_id: UUID) -> Applied:
    running = exists().where(run.c.task_id == task_id, run.c.status == RunStatus.RUNNING)
    is_running = tx.connection.execute(select(running)).scalar_one()
    return Applied.NEXT_RUN if is_running else Applied.IMMEDIATELY


def same_definition(one: TaskDefinition, other: TaskDefinition) -> bool:
    """Tell whether two definitions are the same: defaults filled in, members in any order, 1 is not 1.0."""
    return _canonical(one) == _canonical(other)


def _canonical(definition: TaskDefinition) -> str:
    return values.canonical(definition.model_dump(mode="json", warnings=False))


def _check_not_past(schedule: Schedule, now: datetime) -> None:
    if not isinstance(schedule, Once) or schedule.at is None:
        return
    at = first_fire(schedule, now)
    if at is not None and at < now - OLDEST_ONCE:
        detail = (
            f"{format_instant(at)} is long past (it is {format_instant(now)}); give a time ahead"
        )
        raise Invalid(
            f"/schedule/at: {detail}.", Fault("/schedule/at", detail), slug="time-in-the-past"
        )


def unchanged_since(read: Task) -> ColumnElement[bool]:
    """Guard: whoever changed the task meanwhile wins."""
    return (task.c.generation == read.generation) & (task.c.status == read.status)


def _save(tx: Transaction, existing: Task, changed: Task) -> None:
    saved = tx.connection.execute(
        update(task)
        .where(task.c.id == existing.id, unchanged_since(existing), task.c.deleted_at.is_(None))
        .values(_live_columns(changed))
    )
    if saved.rowcount != 1:
        raise Conflict(f"Task {existing.name!r} was changed by somebody else just now; try again.")
    if changed.status is TaskStatus.PAUSED and existing.status is not TaskStatus.PAUSED:
        block_waiting(tx, [changed.id])
    if existing.definition.handler != changed.definition.handler:
        change_handler(tx, changed.id, changed.definition.handler)
    if existing.definition.tags != changed.definition.tags:
        tx.connection.execute(delete(task_tag).where(task_tag.c.task_id == changed.id))
        _insert_tags(tx, [changed])
    _tell_due(tx, [changed])


def _insert(tx: Transaction, made: dict[str, Task]) -> None:
    if not made:
        return
    rows = [
        {
            **_live_columns(each),
            "id": each.id,
            "name": each.name,
            "created_at": each.created_at,
            "consecutive_failures": 0,
            "kv_revision": 0,
        }
        for each in made.values()
    ]
    tx.connection.execute(insert(task), rows)
    _insert_tags(tx, list(made.values()))
    _tell_due(tx, list(made.values()))


def _live_columns(of: Task) -> dict[str, Any]:
    return {
        "handler": of.definition.handler,
        "queue": of.definition.queue,
        "definition": write_definition(of.definition),
        "input": values.dumps(of.definition.input),
        "status": of.status,
        "status_reason": of.status_reason,
        "status_changed_at": of.status_changed_at,
        "status_changed_by": of.status_changed_by,
        "generation": of.generation,
        "anchored_at": of.anchored_at,
        "next_fire_at": of.next_fire_at,
        "updated_at": of.updated_at,
    }


def _insert_tags(tx: Transaction, tasks: Sequence[Task]) -> None:
    rows = [{"tag": tag, "task_id": each.id} for each in tasks for tag in each.definition.tags]
    if rows:
        tx.connection.execute(insert(task_tag), rows)


def _tell_due(tx: Transaction, tasks: Sequence[Task]) -> None:
    due = [
        each.next_fire_at
        for each in tasks
        if each.next_fire_at and each.status is TaskStatus.ACTIVE
    ]
    if due:
        tx.effects.append(DueSooner(min(due)))
