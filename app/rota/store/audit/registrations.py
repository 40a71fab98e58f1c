"""What registrations have changed, by their results: nothing is read for it before or after them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from rota.db.command import Transaction
from rota.domain.audit.changes import State
from rota.domain.primitives.json import json_text
from rota.domain.primitives.texts.sealed import SealedText
from rota.domain.tasks.definition import Registered
from rota.domain.tasks.task import Task
from rota.store.audit.definitions import definition_of
from rota.store.audit.subjects import MOST_DEFINITIONS, Tasks, shown_column
from rota.store.definitions import write_definition


class AuditedChange(NamedTuple):
    """A subject, and its states before and after a command: None, where it does not exist."""

    name: str
    before: State | None
    after: State | None


class Result(Protocol):
    """The task before and after a registration, and what that did."""

    @property
    def before(self) -> Task | None: ...
    @property
    def task(self) -> Task: ...
    @property
    def outcome(self) -> Registered: ...


def registered(tx: Transaction, made: Result) -> Iterator[AuditedChange]:
    """Yield the task that one registration may have changed."""
    yield from _changes_of(tx, made, definitions=True)


def all_registered(tx: Transaction, made: Sequence[Result]) -> Iterator[AuditedChange]:
    """Yield the tasks that a batch may have changed; of a large one without their definitions."""
    for each in made:
        yield from _changes_of(tx, each, definitions=len(made) <= MOST_DEFINITIONS)


def _changes_of(tx: Transaction, made: Result, *, definitions: bool) -> Iterator[AuditedChange]:
    before, task = made.before, made.task
    if before is None:
        yield AuditedChange(task.name, None, _state(tx.connection, task, definitions=definitions))
    elif not _is_untouched(made, before):
        state = _state(tx.connection, before, definitions=definitions)
        yield AuditedChange(task.name, state, _after(tx, made, definitions=definitions))


def _is_untouched(made: Result, before: Task) -> bool:
    if made.outcome is Registered.KEPT:
        return True
    return made.outcome is Registered.UNCHANGED and made.task.declared == before.declared


def _after(tx: Transaction, made: Result, *, definitions: bool) -> State:
    if made.outcome is not Registered.REPLACED:
        return _state(tx.connection, made.task, definitions=definitions)
    # Its runs have ended by it, which may have ended the task, too.
    name = made.task.name
    [found] = Tasks.read(tx, [Tasks((name,), definitions)], lock=False)
    return found[name]


def _state(connection: Connection, of: Task, *, definitions: bool) -> State:
    """Return the state of a task as `Tasks` would read it."""
    lifecycle = {
        "status": of.status,
        "status_reason": of.status_reason,
        "generation": of.generation,
    }
    if not definitions:
        return lifecycle
    given = of.definition.input
    row = {
        "id": of.id,
        "definition": write_definition(of.definition),
        "input": str(given) if isinstance(given, SealedText) else json_text.dumps(given),
    }
    return {
        **definition_of(connection, row),
        **lifecycle,
        "declared": of.declared,
        "moved_to_at": shown_column(of.moved_to_at),
    }
