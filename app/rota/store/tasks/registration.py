"""Registrations of tasks, one or several in a commit: created, kept, updated or replaced."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rota.db.command import Command, Transaction
from rota.domain.primitives.ids import new_id
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import first_fire
from rota.domain.schedules.past_times import check_not_past
from rota.domain.step_budget import FOR_A_REGISTRATION, for_a_batch, limited_to, too_costly
from rota.domain.tasks.definition import Registered, TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import AppError, Fault, PreconditionFailed, TooCostly
from rota.store.alerts.naming import check_not_itself, warnings_of_each
from rota.store.calendars.usage import registered
from rota.store.chains.limits import refusal
from rota.store.chains.predecessors import (
    missing_predecessors_of,
    named_by,
    tasks_with_predecessors,
)
from rota.store.kv.seeds import Seeding, write_seeds
from rota.store.sealing.secret_headers import with_present_headers
from rota.store.sealing.secret_inputs import with_present_input
from rota.store.secrets.registration import SecretCheck
from rota.store.tasks.declaration import Declaration, Registration
from rota.store.tasks.lifecycle import check_expected
from rota.store.tasks.redefinition import register_over
from rota.store.tasks.save import insert_new

# New tasks that are inserted together.
_AT_A_TIME = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Declaration, Command[Registration]):
    """Register a task. Raises Conflict, PreconditionFailed or Invalid."""

    batched = True

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["Register"]) -> list[Registration]:
        try:
            made = _register_all(tx, commands)
        except _RefusedError as refused:
            raise refused.error from None
        return _with_absent(tx, commands, made)


@dataclass(frozen=True, slots=True)
class RegisterAll(Command[list[Registration]]):
    """Register all of several tasks or none; an error points at the item (`/items/417/…`)."""

    items: tuple[Register, ...]

    def apply(self, tx: Transaction) -> list[Registration]:
        try:
            with limited_to(for_a_batch(len(self.items))):
                made = _register_all(tx, self.items)
            return _with_absent(tx, self.items, made)
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
    secrets = SecretCheck(tx.connection)
    if (refused := refusal(tx, commands, known)) is not None:
        raise _RefusedError(*refused)
    new: dict[str, Task] = {}
    made: list[Registration] = []
    for index, command in enumerate(commands):
        # Twice in this group: the second one meets the first. Many: PostgreSQL ends a transaction that is long idle.
        if command.name in new or len(new) >= _AT_A_TIME:
            known |= new
            insert_new(tx, new)
            new = {}
        try:
            done = _register(tx, command, known.get(command.name), secrets)
        except AppError as error:
            raise _RefusedError(index, error) from error
        made.append(done)
        (new if done.outcome is Registered.CREATED else known)[command.name] = done.task
    insert_new(tx, new)
    if (refused := write_seeds(tx, _seedings(commands, made))) is not None:
        raise _RefusedError(*refused)
    return made


def _seedings(commands: Sequence[Register], made: Sequence[Registration]) -> list[Seeding]:
    """Return the seeds to write; a task that was kept as it is gets none."""
    return [
        Seeding(index, done.task.id, command.seeds, command.by, command.limits)
        for index, (command, done) in enumerate(zip(commands, made, strict=True))
        if command.seeds and done.outcome is not Registered.KEPT
    ]


def _with_absent(
    tx: Transaction, commands: Sequence[Register], made: Sequence[Registration]
) -> list[Registration]:
    """Add what registrations name and does not run, or takes no notifications, as far as their callers may see it."""
    limits = [command.limit for command in commands]
    tasks = [done.task for done in made]
    definitions = [each.definition for each in tasks]
    unheard = warnings_of_each(tx.connection, list(zip(definitions, limits, strict=True)))
    after = [each.id for each in tasks if named_by(each.definition)]
    missing = missing_predecessors_of(tx.connection, after)
    found = []
    for done, limit, warnings in zip(made, limits, unheard, strict=True):
        absent = tuple(each for each in missing.get(done.task.id, ()) if limit.covers(each.name))
        if absent or warnings:
            found.append(replace(done, absent=absent, not_notified=warnings))
        else:
            found.append(done)
    return found


def _at_item(error: AppError, index: int) -> AppError:
    faults = error.faults or (Fault("/name", error.detail),)
    moved = [Fault(f"/items/{index}{fault.pointer}", fault.detail) for fault in faults]
    detail = error.detail.removeprefix(f"{faults[0].pointer}: ")
    return type(error)(
        f"{moved[0].pointer}: {detail}", *moved, slug=error.slug, present=error.present
    )


def _register(
    tx: Transaction, command: Register, existing: Task | None, secrets: SecretCheck
) -> Registration:
    try:
        with limited_to(FOR_A_REGISTRATION):
            return _registered(tx, command, existing, secrets)
    except TooCostly as error:
        raise too_costly(error) from error


def _registered(
    tx: Transaction, command: Register, existing: Task | None, secrets: SecretCheck
) -> Registration:
    _check_preconditions(command, existing)
    check_not_itself(command.name, command.definition)
    opened = registered(tx.connection, command.definition)
    if opened is not command.definition:
        command = replace(command, definition=opened)
    definition = with_present_headers(tx.connection, command.definition, existing)
    secrets.check(replace(command, definition=definition), existing)
    if existing is None:
        return _create(tx, command)
    definition = with_present_input(tx.connection, definition, existing)
    if definition is not command.definition:
        command = replace(command, definition=definition)
    return register_over(tx, command, existing)


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
        traceparent=command.traceparent,
    )
    return Registration(task=made, outcome=Registered.CREATED)


def _status_of_new(command: Register, next_fire_at: datetime | None) -> TaskStatus:
    """A rule that never fires, about which a warning is given, has nothing left to fire from the start."""
    if command.paused:
        return TaskStatus.PAUSED
    fires = next_fire_at is not None or command.definition.fires_unscheduled
    return TaskStatus.ACTIVE if fires else TaskStatus.COMPLETED
