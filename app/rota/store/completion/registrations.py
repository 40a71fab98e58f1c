"""Requests of a successful run besides its kv writes: tasks that it registers, its own task's next fire time."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, select

from rota.db.command import Transaction
from rota.db.tables import task
from rota.domain.alerts.notifier_inputs import notifier_faults
from rota.domain.alerts.notifiers import NOTIFIERS
from rota.domain.chains.result_merge import foreseen_faults
from rota.domain.json_schema.checks import found_ahead
from rota.domain.json_schema.compiled import JsonSchema
from rota.domain.kv.entries import KvLimits
from rota.domain.kv.operations import Check, SetOnce
from rota.domain.kv.run_writes import TableWrites
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Succeeded
from rota.domain.step_budget import for_a_batch, limited_to
from rota.domain.tasks.definition import TaskDefinition
from rota.domain.tasks.input_schema import takes_long, usable_schema
from rota.domain.tasks.registration import TaskRegistration
from rota.errors import AppError, Conflict, Fault, Invalid, sentence
from rota.store.handlers import HandlerInfo, find_handler
from rota.store.tasks.next_fire import override_next_fire
from rota.store.tasks.registration import Register


class Requesting(NamedTuple):
    """An attempt that succeeded, and requests registrations or a next fire time for its task."""

    run_id: Id
    task_id: Id
    outcome: Succeeded
    tables: Sequence[TableWrites]
    limits: KvLimits


def registered_tasks(tx: Transaction, requesting: Sequence[Requesting]) -> set[Id]:
    """Return the tasks that are registered and exist: they are locked together with the others, by id."""
    names = {made.name for each in requesting for made in each.outcome.registrations}
    if not names:
        return set()
    wanted = select(task.c.id).where(task.c.name.in_(names), task.c.deleted_at.is_(None))
    return set(tx.connection.execute(wanted).scalars())


def execute_requests(tx: Transaction, requesting: Iterable[Requesting]) -> dict[Id, RunError]:
    """Register the tasks, and set the next fire times, that attempts requested with their success.

    Returns, by run, why that is refused; then nothing of what that run requested is done.
    """
    refused: dict[Id, RunError] = {}
    for each in requesting:
        try:
            with tx.savepoint():
                _execute(tx, each)
        except AppError as error:
            refused[each.run_id] = _refusal(error)
    return refused


def _execute(tx: Transaction, each: Requesting) -> None:
    by = f"run:{each.run_id}"
    commands = [
        replace(
            to_register(tx.connection, made, by),
            seeds=_seeds_left(made, each.tables),
            limits=each.limits,
        )
        for made in each.outcome.registrations
    ]
    with limited_to(for_a_batch(len(commands))):
        Register.apply_all(tx, commands)
    if each.outcome.next_fire is not None:
        # A task that was cancelled or deleted meanwhile does not fire any more; its run has succeeded anyway.
        override_next_fire(tx, each.task_id, each.outcome.next_fire, by)


def seeds_written_to(requesting: Iterable[Requesting], tables: Iterable[TableWrites]) -> bool:
    """Return whether tables that registrations seed are written to by the runs that end together."""
    seeded = {made.name for each in requesting for made in each.outcome.registrations if made.seeds}
    return bool(seeded) and any(table.task in seeded for table in tables)


def _seeds_left(made: TaskRegistration, tables: Sequence[TableWrites]) -> tuple[SetOnce, ...]:
    """Return the seeds of keys that the run does not write itself."""
    written = {
        change.key
        for table in tables
        if table.task == made.name
        for change in table.changes
        if not isinstance(change, Check)
    }
    return tuple(seed for seed in made.seeds if seed.key not in written)


def to_register(connection: Connection, made: TaskRegistration, by: str) -> Register:
    """Return the command for a registration; raises Invalid for an unknown handler, or an input that it refuses."""
    return Register(
        name=made.name,
        definition=_fitted(connection, made),
        paused=made.paused,
        on_conflict=made.on_conflict,
        by=by,
        seeds=made.seeds,
    )


def _fitted(connection: Connection, made: TaskRegistration) -> TaskDefinition:
    definition = made.definition
    handler = find_handler(connection, definition.handler)
    if handler is None:
        raise Invalid(f"Task {made.name!r}: /handler: no handler is called {definition.handler!r}.")
    refused = handler.fault_of(secret_input=definition.secret_input)
    if refused is not None:
        raise Invalid(sentence(f"Task {made.name!r}: {refused.pointer}: {refused.detail}"), refused)
    _check_input(made, handler)
    if handler.timeout is not None and "timeout" not in definition.model_fields_set:
        definition = definition.model_copy(update={"timeout": handler.timeout})
    return definition


def _check_input(made: TaskRegistration, handler: HandlerInfo) -> None:
    if handler.input_schema is None:
        return
    validator = usable_schema(handler.input_schema)
    if isinstance(validator, Fault):
        raise Invalid(
            sentence(f"Task {made.name!r}: {validator.pointer}: {validator.detail}"), validator
        )
    faults = _input_faults(made.definition, validator)
    if faults:
        raise Invalid(
            sentence(f"Task {made.name!r}: {faults[0].pointer}: {faults[0].detail}"), *faults
        )


def _input_faults(definition: TaskDefinition, validator: JsonSchema) -> list[Fault]:
    """Return why a handler refuses an input; raises NotCheckedError if the check takes long."""
    if definition.handler in NOTIFIERS:
        return notifier_faults(definition.handler, definition.input, definition.schedule)
    work = partial(foreseen_faults, validator, definition.schedule, definition.input)
    if not takes_long(validator, definition.input):
        return work()
    checked = (
        validator.text,
        json_text.dumps(definition.input),
        definition.schedule.model_dump_json(),
    )
    return found_ahead(sha256("\0".join(checked).encode()).digest(), work)


def _refusal(error: AppError) -> RunError:
    kind = "register.conflict" if isinstance(error, Conflict) else "register.invalid"
    return RunError(kind, error.detail[:2_000])
