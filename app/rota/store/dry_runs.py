"""Dry runs of registrations: they are made in a savepoint, looked at, and rolled back.

So a dry run decides as the real one does, by the same statements, and refuses what that refuses; and nothing of it is
left: no row, no effect, no entry of the audit log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, or_, select

from rota.db.command import Command, Transaction
from rota.db.tables import kv
from rota.db.types import is_one_of
from rota.domain.audit.changes import State
from rota.domain.dry_runs.changes import FieldChange, changes_between
from rota.domain.kv.operations import SetOnce
from rota.domain.primitives.json import json_text
from rota.domain.primitives.json.unset import UNSET
from rota.domain.primitives.texts.sealed import SealedText
from rota.domain.primitives.times.instants import format_instant
from rota.domain.tasks.definition import Registered
from rota.domain.tasks.task import Task
from rota.store.audit.definitions import definition_of
from rota.store.definitions import write_definition
from rota.store.tasks.declaration import Registration
from rota.store.tasks.registration import Register

# Registrations that change nothing of the definition.
_AS_IT_WAS = frozenset({Registered.UNCHANGED, Registered.KEPT})


@dataclass(frozen=True, slots=True)
class WouldRegister:
    """What a registration would do, and which fields of the task would change."""

    made: Registration
    changes: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class DryRun(Command[list[WouldRegister]]):
    """Make registrations, and take them back. Raises what they raise.

    `command` makes all of `items`, in their order, and returns the result of each. Of the first `most` that would
    change something, the fields are compared.
    """

    command: Command[list[Registration]]
    items: Sequence[Register]
    most: int

    def apply(self, tx: Transaction) -> list[WouldRegister]:
        with tx.savepoint() as savepoint:
            made = self.command.apply(tx)
            savepoint.rollback()
        return list(self._compared(tx, made))

    def _compared(self, tx: Transaction, made: Sequence[Registration]) -> list[WouldRegister]:
        """Compare what was made with what is there, now that it is there again."""
        found: list[WouldRegister] = []
        left = self.most
        for item, each in zip(self.items, made, strict=True):
            changes = _changes(tx, each, item.seeds) if left > 0 else ()
            left -= bool(changes)
            found.append(WouldRegister(each, changes))
        return found


@dataclass(frozen=True, slots=True)
class One(Command[list[Registration]]):
    """Execute a registration as the only one of several."""

    command: Command[Registration]

    def apply(self, tx: Transaction) -> list[Registration]:
        return [self.command.apply(tx)]


def _changes(
    tx: Transaction, made: Registration, seeds: Sequence[SetOnce]
) -> tuple[FieldChange, ...]:
    if made.outcome is Registered.KEPT:
        return ()
    written = _new_seeds(tx, made, seeds)
    if made.before is None:
        return (*changes_between({}, _stored(tx.connection, made.task)), *written)
    if made.outcome in _AS_IT_WAS:
        return written
    sides = made.before, made.task
    before, after = ({**_state(tx.connection, side), **_moved(side, sides)} for side in sides)
    return (*changes_between(before, after), *written)


def _moved(side: Task, sides: tuple[Task, Task]) -> State:
    """Return the next fire time, if it differs because one was set by hand; else it follows from the schedule."""
    before, after = sides
    if before.moved_to_at == after.moved_to_at or side.next_fire_at is None:
        return {}
    return {"next_fire_at": format_instant(side.next_fire_at)}


def _new_seeds(
    tx: Transaction, made: Registration, seeds: Sequence[SetOnce]
) -> tuple[FieldChange, ...]:
    """Return the entries that would be made: a seed is written only where there is none."""
    if not seeds:
        return ()
    there = set() if made.before is None else _present_keys(tx, made.before, seeds)
    return tuple(
        FieldChange(f"/kv/{json_text.escape(seed.key)}", UNSET, json_text.loads(seed.value))
        for seed in seeds
        if seed.key not in there
    )


def _present_keys(tx: Transaction, of: Task, seeds: Sequence[SetOnce]) -> set[str]:
    found = select(kv.c.key).where(
        kv.c.task_id == of.id,
        is_one_of(kv.c.key, "g_keys"),
        or_(kv.c.expires_at.is_(None), kv.c.expires_at > tx.now),
    )
    keys = [seed.key for seed in seeds]
    return set(tx.connection.execute(found, {"g_keys": keys}).scalars())


def _state(connection: Connection, of: Task) -> State:
    """Return all fields of a task as they are shown, those with defaults included, with what is secret hidden."""
    stored = _stored(connection, of)
    fields: dict[str, Any] = of.definition.model_dump(mode="json", warnings=False)
    fields["schedule"] = of.definition.schedule.model_dump(mode="json", exclude_none=True)
    fields["input"] = stored["input"]
    if fields["target"] is not None:
        fields["target"]["headers"] = stored["target"].get("headers", {})
    return {**fields, "status": of.status}


def _stored(connection: Connection, of: Task) -> State:
    """Return the fields of a task that are not at their defaults, with what is secret hidden."""
    given = of.definition.input
    row = {
        "id": of.id,
        "definition": write_definition(of.definition),
        "input": str(given) if isinstance(given, SealedText) else json_text.dumps(given),
    }
    return definition_of(connection, row)
