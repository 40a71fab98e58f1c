"""Starting: the runs that send notifications, inserted where the tasks to notify take them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, NamedTuple

from sqlalchemy import select

from rota.db.command import Transaction
from rota.db.tables import task
from rota.db.types import is_one_of
from rota.domain.alerts.retries import is_given_up, wait_after
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.value_class import value_class
from rota.domain.runs.lineage import Link, LinkKind
from rota.domain.runs.status import Trigger
from rota.domain.tasks.definition import TaskStatus
from rota.errors import Invalid, Sealed
from rota.store.definitions import read_definition
from rota.store.runs.insertion import insert_runs
from rota.store.runs.new_run import NewRun, new_run
from rota.store.sealing.secret_inputs import open_input_of, seal_input

#: When a task that another transaction has locked is tried again.
AFTER_A_LOCK = timedelta(milliseconds=200)


@value_class(kw_only=True)
class Outgoing:
    """A notification that is to be sent: its id, the task to notify, and the event; None: it cannot be read."""

    id: Id
    notifies: str
    event: Mapping[str, Any] | None
    #: The run that it is about, with its chain; None: none, or one that is gone.
    about: tuple[Id, Id] | None = None


class Hindrance(Enum):
    """Why a notification is not being sent."""

    LOCKED = auto()
    #: There is no such task, it is paused or cancelled, or its input or the event cannot be read.
    NOT_TAKEN = auto()


class _Target(NamedTuple):
    """A task that is to be notified."""

    id: Id
    name: str
    status: str
    generation: int
    definition: str
    input: str


_NAMED = select(*(task.c[name] for name in _Target._fields)).where(
    is_one_of(task.c.name, "g_names"), task.c.deleted_at.is_(None)
)
# Shared, so that replicas notify one task side by side while nobody pauses it; and no lock is waited for, which might
# end in a deadlock, since the tasks of an edge are locked already.
_FREE = _NAMED.with_for_update(read=True, skip_locked=True)
_TAKING = frozenset({TaskStatus.ACTIVE, TaskStatus.COMPLETED})


def start_runs(tx: Transaction, outgoing: Sequence[Outgoing]) -> dict[Id, Id | Hindrance]:
    """Insert the runs that send notifications; return each one's run, or why there is none, by its id.

    A task that is completed takes them, as it takes a manual run. Runs of a notification overlap with others.
    """
    names = {each.notifies for each in outgoing}
    rows = map(_Target._make, tx.connection.execute(_FREE, {"g_names": list(names)}))
    targets = {row.name: row for row in rows}
    locked = _locked(tx, names - targets.keys())
    made: dict[Id, NewRun] = {}
    found: dict[Id, Id | Hindrance] = {}
    for each in outgoing:
        target = targets.get(each.notifies)
        run = None
        if target is not None and each.event is not None:
            run = _to_run(tx, target, each.event)
        if run is not None:
            _link(run, each.about)
            made[each.id] = run
        hindrance = Hindrance.LOCKED if each.notifies in locked else Hindrance.NOT_TAKEN
        found[each.id] = hindrance if run is None else run.id
    insert_runs(tx, list(made.values()))
    return found


def _link(made: NewRun, about: tuple[Id, Id] | None) -> None:
    if about is not None:
        run_id, made.chain_id = about
        made.fed_by = (Link(run_id, LinkKind.NOTIFICATION),)


def next_try(
    started: Id | Hindrance, attempts: int, now: datetime, created_at: datetime
) -> dict[str, Any]:
    """Return the columns of a notification after a try: its run, how many tries have failed, and when the next is."""
    columns = {"run_id": None, "attempts": attempts, "not_before": None, "given_up_at": None}
    match started:
        case Hindrance.LOCKED:
            return columns | {"not_before": now + AFTER_A_LOCK}
        case Hindrance.NOT_TAKEN:
            return columns | after_failure(attempts + 1, now, created_at)
        case _:
            return columns | {"run_id": started}


def after_failure(attempts: int, now: datetime, created_at: datetime) -> dict[str, Any]:
    """Return the columns of a notification that could not be sent so often: it is tried again, or given up."""
    if is_given_up(attempts, now - created_at):
        return {"attempts": attempts, "not_before": None, "given_up_at": now}
    return {"attempts": attempts, "not_before": now + wait_after(attempts), "given_up_at": None}


def _locked(tx: Transaction, names: Collection[str]) -> set[str]:
    """Return those of the tasks that were not read since another transaction has locked them."""
    if tx.is_sqlite or not names:
        return set()
    there = tx.connection.execute(_NAMED.with_only_columns(task.c.name), {"g_names": list(names)})
    return set(there.scalars())


def _to_run(tx: Transaction, of: _Target, event: Mapping[str, Any]) -> NewRun | None:
    """Return the run with an event; None if the task takes none now."""
    if of.status not in _TAKING:
        return None
    definition = read_definition(of.definition)
    try:
        own = json_text.loads(open_input_of(tx.connection, of.id, definition, of.input))
        text = json_text.dumps({**(own if isinstance(own, dict) else {}), **event})
        input = seal_input(tx.connection, of.id, definition, text)
    except (Invalid, Sealed):
        return None
    return new_run(definition, tx.now, of.id, of.generation, Trigger.NOTIFICATION, tx.now, input)
