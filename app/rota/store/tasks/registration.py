"""Registrations of tasks: created, kept, updated or replaced, as in the table of API.md."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import assert_never

from sqlalchemy import exists, or_, select

from rota.db.tables import backfill, run
from rota.db.writer import Command, Transaction
from rota.domain.chains.fan_in import Absent, is_over
from rota.domain.kv.entries import DEFAULT_LIMITS, KvLimits
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import Id, new_id
from rota.domain.primitives.preconditions import Precondition
from rota.domain.reasons import CancelReason
from rota.domain.runs.planning import most_runs
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.definitions import After
from rota.domain.schedules.fire_times import Anchor, after_finish, fires_after_finish, first_fire
from rota.domain.schedules.moved_fire_time import NextFire, begun_again
from rota.domain.schedules.past_times import check_ahead, check_not_past
from rota.domain.step_budget import FOR_A_REGISTRATION, for_a_batch, limited_to, too_costly
from rota.domain.tasks.definition import (
    Applied,
    OnConflict,
    Registered,
    Task,
    TaskDefinition,
    TaskStatus,
)
from rota.domain.tasks.registration import TaskRegistration
from rota.errors import AppError, Conflict, Fault, PreconditionFailed, TooCostly
from rota.store.chains.limits import refusal
from rota.store.chains.predecessors import (
    forget_predecessors,
    missing_predecessors,
    named_by,
    tasks_with_predecessors,
)
from rota.store.kv.seeds import plant
from rota.store.runs.cancellation import cancel_unfinished
from rota.store.scheduling.backfill_rows import end_backfills
from rota.store.secret_inputs import with_present_input
from rota.store.task_changes import status_columns
from rota.store.task_rows import present_task
from rota.store.tasks.lifecycle import check_expected
from rota.store.tasks.next_fire import overridden, with_next_fire
from rota.store.tasks.save import insert_new, save


class Unset(Enum):
    """The value of a member that was not given, where None has a meaning of its own."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The task as it is after a registration, and what that did."""

    task: Task
    outcome: Registered
    applied: Applied = Applied.IMMEDIATELY
    differs: bool = False
    #: Predecessors that will not run by themselves.
    absent: tuple[Absent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(TaskRegistration, Command[Registration]):
    """Register a task. Raises Conflict, PreconditionFailed or Invalid.

    `expected` is what must be there, or must not: the task's id and generation. The seeds are written if they are not
    there, whatever the registration does to the definition.
    """

    batched = True

    on_conflict: OnConflict = OnConflict.REJECT
    by: str = "local"
    expected: Precondition | None = None
    #: By `PUT`: the task is kept when it has ended.
    declared: bool = False
    #: Sets the next fire time once (a time), or takes that back (None).
    next_fire: datetime | Unset | None = UNSET
    limits: KvLimits = DEFAULT_LIMITS

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["Register"]) -> list[Registration]:
        try:
            made = _register_all(tx, commands)
        except _RefusedError as refused:
            raise refused.error from None
        return [_with_absent(tx, done) for done in made]


@dataclass(frozen=True, slots=True)
class RegisterAll(Command[list[Registration]]):
    """Register all of several tasks or none; an error points at the item (`/items/417/…`)."""

    items: tuple[Register, ...]

    def apply(self, tx: Transaction) -> list[Registration]:
        try:
            with limited_to(for_a_batch(len(self.items))):
                return _register_all(tx, self.items)
        except _RefusedError as refused:
            raise _at_item(refused.error, refused.index) from refused.error


class _RefusedError(Exception):
    """One of several registrations is refused."""

    def __init__(self, index: int, error: AppError) -> None:
        super().__init__(index, error)
        self.index = index
        self.error = error


def _register_all(tx: Transaction, commands: Sequence[Register]) -> list[Registration]:
    known = tasks_with_predecessors(tx, commands)
    if (refused := refusal(tx, commands, known)) is not None:
        raise _RefusedError(*refused)
    new: dict[str, Task] = {}
    made: list[Registration] = []
    for index, command in enumerate(commands):
        if command.name in new:  # twice in this group: the second one meets the first
            known |= new
            insert_new(tx, new)
            new = {}
        try:
            done = _register(tx, command, known.get(command.name))
        except AppError as error:
            raise _RefusedError(index, error) from error
        made.append(done)
        (new if done.outcome is Registered.CREATED else known)[command.name] = done.task
    insert_new(tx, new)
    if (refused := plant(tx, commands, made)) is not None:
        raise _RefusedError(*refused)
    return made


def _with_absent(tx: Transaction, done: Registration) -> Registration:
    if not named_by(done.task.definition):
        return done
    return replace(done, absent=tuple(missing_predecessors(tx.connection, done.task.id)))


def _at_item(error: AppError, index: int) -> AppError:
    faults = error.faults or (Fault("/name", error.detail),)
    moved = [Fault(f"/items/{index}{fault.pointer}", fault.detail) for fault in faults]
    detail = error.detail.removeprefix(f"{faults[0].pointer}: ")
    return type(error)(
        f"{moved[0].pointer}: {detail}", *moved, slug=error.slug, present=error.present
    )


def _register(tx: Transaction, command: Register, existing: Task | None) -> Registration:
    try:
        with limited_to(FOR_A_REGISTRATION):
            return _registered(tx, command, existing)
    except TooCostly as error:
        raise too_costly(error) from error


def _registered(tx: Transaction, command: Register, existing: Task | None) -> Registration:
    _check_preconditions(command, existing)
    if existing is None:
        return _create(tx, command)
    definition = with_present_input(tx.connection, command.definition, existing)
    if definition is not command.definition:
        command = replace(command, definition=definition)
    return _register_over(tx, command, existing)


def _check_preconditions(command: Register, existing: Task | None) -> None:
    if command.expected is None:
        return
    if existing is not None:
        check_expected(existing, command.expected)
    elif not command.expected.is_met_by(None):
        raise PreconditionFailed(f"There is no task {command.name!r}.")


def _create(tx: Transaction, command: Register) -> Registration:
    check_not_past(command.definition.schedule, tx.now)
    next_fire_at = first_fire(command.definition.schedule, Anchor(tx.now, command.name))
    made = Task(
        id=new_id(tx.now),
        name=command.name,
        definition=command.definition,
        status=_status_of_new(command, next_fire_at),
        status_reason=None,
        status_changed_at=tx.now,
        status_changed_by=command.by,
        generation=1,
        anchored_at=tx.now,
        next_fire_at=next_fire_at,
        declared=command.declared,
        last_run=None,
        last_success_at=None,
        consecutive_failures=0,
        kv_revision=0,
        created_at=tx.now,
        updated_at=tx.now,
    )
    return Registration(task=made, outcome=Registered.CREATED)


def _status_of_new(command: Register, next_fire_at: datetime | None) -> TaskStatus:
    """A rule that never fires (a warning says so) has nothing left to fire from the start."""
    if command.paused:
        return TaskStatus.PAUSED
    fires = next_fire_at is not None or command.definition.fires_unscheduled
    return TaskStatus.ACTIVE if fires else TaskStatus.COMPLETED


def _register_over(tx: Transaction, command: Register, existing: Task) -> Registration:
    same = same_definition(existing.definition, command.definition)
    match command.on_conflict:
        case OnConflict.REJECT:
            raise Conflict(
                f"There is a task {existing.name!r} already (generation {existing.generation}, {existing.status}). "
                "PUT it to update it, or choose another on_conflict.",
                slug="task-exists",
                present=present_task(existing),
            )
        case OnConflict.KEEP if _has_work_left(tx, existing):
            return Registration(task=existing, outcome=Registered.KEPT, differs=not same)
        case OnConflict.UPDATE:
            return _update(tx, command, existing, same=same)
        case OnConflict.KEEP | OnConflict.REPLACE:
            return _replace(tx, command, existing)
        case _:
            assert_never(command.on_conflict)


def _has_work_left(tx: Transaction, existing: Task) -> bool:
    """Return whether a task is to be kept: it may fire no more, while its last run has not ended."""
    if existing.status is not TaskStatus.COMPLETED:
        return existing.status is not TaskStatus.CANCELLED
    unfinished = exists().where(run.c.task_id == existing.id, run.c.finished_at.is_(None))
    being_made = exists().where(backfill.c.task_id == existing.id, backfill.c.finished_at.is_(None))
    return bool(tx.connection.execute(select(or_(unfinished, being_made))).scalar_one())


def _update(tx: Transaction, command: Register, existing: Task, *, same: bool) -> Registration:
    """New definition, same history and kv; running work untouched; a registration never unpauses."""
    same_schedule = existing.definition.schedule == command.definition.schedule
    if not same_schedule:
        check_not_past(command.definition.schedule, tx.now)
    anchored_at = existing.anchored_at if same_schedule else tx.now
    changed = replace(
        with_next_fire(
            existing, _next_after_update(command, existing, tx.now, same_schedule=same_schedule)
        ),
        definition=command.definition,
        generation=existing.generation + (not same),
        anchored_at=anchored_at,
        fired=existing.fired if same_schedule else 0,
        declared=existing.declared or command.declared,
        updated_at=existing.updated_at if same else tx.now,
    )
    if not isinstance(command.next_fire, Unset):
        check_ahead(command.next_fire, tx.now)
        changed = overridden(changed, command.next_fire, tx.now)
    changed = _with_status(changed, command, tx.now)
    if replace(changed, declared=existing.declared) == existing:
        if changed.declared != existing.declared:
            save(tx, existing, changed)
        return Registration(task=changed, outcome=Registered.UNCHANGED)
    applied = _applied(tx, existing.id)
    save(tx, existing, changed)
    return Registration(task=changed, outcome=Registered.UPDATED, applied=applied)


def _next_after_update(
    command: Register, existing: Task, now: datetime, *, same_schedule: bool
) -> NextFire:
    schedule = command.definition.schedule
    if not same_schedule:
        return NextFire(first_fire(schedule, Anchor(now, command.name)))
    if existing.status in {TaskStatus.ACTIVE, TaskStatus.PAUSED}:
        return existing.next_fire
    most = most_runs(schedule)
    if most is not None and existing.fired >= most:
        return NextFire(None, existing.next_fire.move)
    anchor = Anchor(existing.anchored_at, command.name)
    if fires_after_finish(schedule):
        return NextFire(after_finish(schedule, anchor, now))
    return begun_again(schedule, anchor, existing.next_fire, now)


def _replace(tx: Transaction, command: Register, existing: Task) -> Registration:
    """Unfinished runs are cancelled, the schedule starts anew; history and kv are kept."""
    check_not_past(command.definition.schedule, tx.now)
    end_backfills(tx, [existing.id])
    cancel_unfinished(tx, [existing.id], CancelReason.REPLACED)
    changed = replace(
        existing,
        definition=command.definition,
        generation=existing.generation + 1,
        anchored_at=tx.now,
        fired=0,
        updated_at=tx.now,
    )
    first = first_fire(command.definition.schedule, Anchor(tx.now, command.name))
    changed = with_next_fire(changed, NextFire(first))
    changed = _with_status(changed, command, tx.now)
    save(tx, existing, changed)
    forget_predecessors(tx, changed)
    return Registration(task=changed, outcome=Registered.REPLACED)


def _with_status(changed: Task, command: Register, now: datetime) -> Task:
    """Return the task with the status that the registration leaves it in."""
    status = _status_after(changed, command, now)
    if status is changed.status:
        return changed
    return replace(
        changed,
        **status_columns(status, command.by, now),
    )


def _status_after(changed: Task, command: Register, now: datetime) -> TaskStatus:
    if command.paused or changed.status is TaskStatus.PAUSED:
        return TaskStatus.PAUSED
    waits = changed.status is TaskStatus.ACTIVE and fires_after_finish(changed.definition.schedule)
    schedule = changed.definition.schedule
    ended = isinstance(schedule, After) and is_over(schedule, changed.fired, now)
    fires = changed.next_fire_at is not None or changed.definition.fires_unscheduled
    return TaskStatus.ACTIVE if (fires and not ended) or waits else TaskStatus.COMPLETED


def _applied(tx: Transaction, task_id: Id) -> Applied:
    running = exists().where(run.c.task_id == task_id, run.c.status == RunStatus.RUNNING)
    is_running = tx.connection.execute(select(running)).scalar_one()
    return Applied.NEXT_RUN if is_running else Applied.IMMEDIATELY


def same_definition(one: TaskDefinition, other: TaskDefinition) -> bool:
    """Return whether two definitions are the same as JSON: defaults filled in, members in any order, 1 is 1.0."""
    return json_text.equal(
        one.model_dump(mode="json", warnings=False), other.model_dump(mode="json", warnings=False)
    )
