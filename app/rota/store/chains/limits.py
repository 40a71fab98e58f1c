"""Chains of tasks: whether registrations keep them within the limits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text

from rota.db.command import Transaction
from rota.db.tables import predecessor
from rota.domain.chains.limits import (
    LONGEST_CHAIN,
    MOST_SUCCESSORS,
    CycleError,
    describe_cycle,
    lengths,
    shown_name,
    with_too_many_successors,
)
from rota.domain.primitives.json import json_text
from rota.domain.tasks.definition import OnConflict
from rota.domain.tasks.registration import TaskRegistration
from rota.domain.tasks.task import Task
from rota.errors import Fault, Invalid, sentence
from rota.store.chains.predecessors import ENDED, named_by


@dataclass(frozen=True, slots=True)
class _Statements:
    """A walk over the chains, in the SQL of each database."""

    sqlite: Any
    postgres: Any


# Whether there are so many that one task may have too many successors; no more are counted.
_SOME = select(predecessor.c.task_id).limit(MOST_SUCCESSORS + 1).subquery()
_NUMBER = select(func.count()).select_from(_SOME)
_LIVE = "task.deleted_at IS NULL"
_GIVEN = {
    "sqlite": "SELECT value AS name FROM json_each(:names)",
    "postgres": 'SELECT value COLLATE "C" AS name FROM json_array_elements_text(CAST(:names AS json))',
}


def _statements(step: str, result: str) -> _Statements:
    walks = {
        database: text(f"WITH RECURSIVE walk(name) AS ({given} UNION {step}) {result}")
        for database, given in _GIVEN.items()
    }
    return _Statements(**walks)


_JOINED_BEFORE = f"""
    FROM walk JOIN task ON task.name = walk.name AND {_LIVE}
    JOIN predecessor ON predecessor.task_id = task.id
"""
_JOINED_BEHIND = f"""
    FROM walk JOIN predecessor ON predecessor.name = walk.name
    JOIN task ON task.id = predecessor.task_id AND {_LIVE}
"""
#: The pairs of task and predecessor among all (indirect) predecessors of some tasks, and among all successors.
_BEFORE = _statements(
    f"SELECT predecessor.name {_JOINED_BEFORE}",
    f"SELECT task.name AS task, predecessor.name AS named {_JOINED_BEFORE}",
)
_BEHIND = _statements(
    f"SELECT task.name {_JOINED_BEHIND}",
    f"SELECT task.name AS task, predecessor.name AS named {_JOINED_BEHIND}",
)


def refusal(
    tx: Transaction, declared: Sequence[TaskRegistration], known: Mapping[str, Task]
) -> tuple[int, Invalid] | None:
    """Return the index of a registration to refuse, and why; `known` are the existing tasks.

    A predecessor that is named for the first time must exist, or be among the registrations. No task may come after
    itself, directly or through others, and the length and width of chains are limited.
    """
    renaming = [(index, each) for index, each in enumerate(declared) if _renames(each, known)]
    if not any(named_by(each.definition) for _, each in renaming):
        return None
    coming = known.keys() | {each.name for each in declared}
    for index, each in renaming:
        error = _unknown(each, known, coming)
        if error is not None:
            return index, error
    return _beyond_limits(tx, {each.name: (index, each) for index, each in renaming})


def _renames(each: TaskRegistration, known: Mapping[str, Task]) -> bool:
    """Return whether a registration will change the predecessors of a task; that depends on its `on_conflict`, too."""
    existing = known.get(each.name)
    if existing is None:
        return True
    if named_by(existing.definition) == named_by(each.definition):
        return False
    keeps = each.on_conflict is OnConflict.KEEP and existing.status not in ENDED
    return not keeps and each.on_conflict is not OnConflict.REJECT


def _unknown(
    each: TaskRegistration, known: Mapping[str, Task], coming: Collection[str]
) -> Invalid | None:
    existing = known.get(each.name)
    # A predecessor that it has already may be gone by now: the task can be declared again as it was read.
    so_far = () if existing is None else named_by(existing.definition)
    for place, name in enumerate(named_by(each.definition)):
        if name not in coming and name not in so_far:
            detail = f"there is no task {name!r}; register it first, or in the same batch"
            return _invalid(detail, place)
    return None


def _beyond_limits(
    tx: Transaction, by_name: Mapping[str, tuple[int, TaskRegistration]]
) -> tuple[int, Invalid] | None:
    """Return the registration that would create a cycle, or too long a chain or too wide a tree."""
    waits_for = _chains(
        tx, {name: named_by(each.definition) for name, (_, each) in by_name.items()}
    )
    try:
        length = lengths(waits_for)
    except CycleError as circle:
        return _closing(circle.names, by_name)
    last, declared = by_name[max(by_name, key=length.__getitem__)]
    if (longest := max(length.values())) > LONGEST_CHAIN:
        detail = (
            f"{longest} tasks would come after each other in a row; at most {LONGEST_CHAIN} may"
        )
        return last, _invalid(detail)
    if (burdened := with_too_many_successors(waits_for)) is not None:
        named = shown_name(burdened, declared.limit)
        return last, _invalid(f"more than {MOST_SUCCESSORS:,} tasks would come after {named}")
    return None


def _closing(
    names: list[str], by_name: Mapping[str, tuple[int, TaskRegistration]]
) -> tuple[int, Invalid]:
    """Return the registration that creates a cycle (there was none before): of several the last one."""
    first = max(
        range(len(names)),
        key=lambda place: by_name[names[place]][0] if names[place] in by_name else -1,
    )
    index, each = by_name[names[first]]
    following = names[(first + 1) % len(names)]
    detail = (
        "a task cannot come after itself"
        if len(names) == 1
        else f"this creates a cycle: {describe_cycle([*names[first:], *names[:first]], each.limit)}"
    )
    return index, _invalid(detail, named_by(each.definition).index(following))


def _invalid(detail: str, place: int | None = None) -> Invalid:
    pointer = "/schedule/tasks" if place is None else f"/schedule/tasks/{place}"
    return Invalid(sentence(f"{pointer}: {detail}"), Fault(pointer, detail))


def _chains(tx: Transaction, changed: Mapping[str, Collection[str]]) -> dict[str, Collection[str]]:
    """Return the predecessors, by task, of the tasks in `changed` and of all around them: before and behind them.

    If there are so many that one task may have too many successors: also of all successors of those before them.
    """
    named = {name for names in changed.values() for name in names}
    before = _walk(tx, _BEFORE, changed.keys() | named)
    roots: Collection[str] = changed.keys()
    if (
        tx.connection.execute(_NUMBER).scalar_one() + sum(map(len, changed.values()))
        > MOST_SUCCESSORS
    ):
        roots = named.union(roots, before, *before.values())
    return {**_walk(tx, _BEHIND, roots), **before, **changed}


def _walk(tx: Transaction, statements: _Statements, names: Collection[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    statement = statements.sqlite if tx.is_sqlite else statements.postgres
    for row in tx.connection.execute(statement, {"names": json_text.dumps(sorted(names))}):
        found.setdefault(row.task, set()).add(row.named)
    return found
