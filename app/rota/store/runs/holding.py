"""The runs of held tasks do not start: a claim blocks those that it meets, and they are released when no hold matches.

What somebody asks for now starts anyway: a run by hand, a ping, a notification. What runs already continues.

While no hold lasts, a claim learns that in the statement that it makes anyway (`without_holds`). While one does, it
goes through the queue in pages and blocks what is held (`waiting_on`: `hold`), so that held runs hold up no others.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    update,
)

from rota.db.command import Command, Transaction
from rota.db.tables import run, task, task_tag
from rota.db.types import is_one_of, spelled_out
from rota.domain.holds.model import Hold
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.reasons import WaitingOn
from rota.domain.runs.status import STARTS_WHILE_HELD, RunStatus
from rota.store.replicas import known_handlers
from rota.store.runs.overlap import requeue
from rota.store.runs.waiting import WAITING, blocked, emit_waiting, next_wait
from rota.store.task_locks import lock_tasks

WAITING_ON_HOLD = json_text.dumps([WaitingOn.HOLD])
#: Spelled as the condition of ix_run_held is, so that planners know it again.
WAITS_FOR_HOLD: tuple[ColumnElement[bool], ...] = (
    run.c.status == spelled_out(RunStatus.BLOCKED),
    run.c.waiting_on == literal_column(f"'{WAITING_ON_HOLD}'", Text),
)
#: Not those that wait for the end of a hold.
NOT_HELD = or_(run.c.waiting_on.is_(None), run.c.waiting_on != WAITING_ON_HOLD)
_QUEUED = run.c.status == spelled_out(RunStatus.QUEUED)


class RunOfTask(NamedTuple):
    """A run, and what of its task decides whether it is held."""

    id: Id
    task_id: Id
    name: str
    queue: str


_OF_TASK = select(run.c.id, run.c.task_id, task.c.name, task.c.queue).join(
    task, task.c.id == run.c.task_id
)
_MAY_BE_HELD = _OF_TASK.where(
    is_one_of(run.c.id, "g_ids"),
    run.c.trigger.not_in([spelled_out(each) for each in sorted(STARTS_WHILE_HELD)]),
)
_HELD_PAGE = (
    _OF_TASK.where(*WAITS_FOR_HOLD, run.c.id > bindparam("g_after", type_=run.c.id.type))
    .order_by(run.c.id)
    .limit(bindparam("g_limit"))
)
_IS_ANY_HELD = select(run.c.id).where(*WAITS_FOR_HOLD).limit(1)
_TAGS = select(task_tag.c.task_id, task_tag.c.tag).where(
    is_one_of(task_tag.c.task_id, "g_ids"), is_one_of(task_tag.c.tag, "g_tags")
)
# As concurrency keys do: nothing of `not_before`, and what another replica is claiming is left to it.
_FREE = (
    select(run.c.id)
    .where(is_one_of(run.c.id, "g_ids"), _QUEUED)
    .with_for_update(skip_locked=True)
    .cte("free")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_BLOCK = (
    update(run).where(run.c.id.in_(select(_FREE.c.id)), _QUEUED).values(blocked(WAITING_ON_HOLD))
)
_OWNERS = select(run.c.task_id).where(is_one_of(run.c.id, "g_ids"))
_MINE = (
    select(run.c.id)
    .where(is_one_of(run.c.id, "g_ids"), is_one_of(run.c.task_id, "g_tasks"))
    .with_for_update(skip_locked=True)
    .cte("mine")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
# By their ids: a planner that expects few blocked runs would go through all of them, for each batch, if it knew that
# only such are meant.
_RELEASE = update(run).where(
    run.c.id.in_(select(_MINE.c.id)),
    func.coalesce(run.c.status, "") == spelled_out(RunStatus.BLOCKED),
    func.coalesce(run.c.waiting_on, "") == WAITING_ON_HOLD,
)


@dataclass(frozen=True, slots=True)
class ReleaseHeld(Command[int]):
    """Unblock runs that wait for holds which match their tasks no more; return how many.

    They wait for whatever else there is, and one behind the other where the policy of their task wants it. Those of a
    task that another transaction has locked are left for the next time.
    """

    patient = False

    ids: tuple[Id, ...]

    def apply(self, tx: Transaction) -> int:
        given = {"g_ids": self.ids}
        owners = set(tx.connection.execute(_OWNERS, given).scalars())
        locked = lock_tasks(tx.connection, task.c.id.in_(owners), skip_locked=True)
        mine = [each.id for each in locked]
        unknown = run.c.handler.not_in(known_handlers(tx.connection))
        released = _RELEASE.values(next_wait(unknown)).returning(*WAITING)
        rows = tx.connection.execute(released, given | {"g_tasks": mine}).all()
        emit_waiting(tx, rows)
        if rows:
            requeue(tx, mine)
        return len(rows)


def block_held(tx: Transaction, ids: Sequence[Id], holds: Sequence[Hold]) -> set[Id]:
    """Block those of some queued runs whose tasks are held; return their ids."""
    if not holds or not ids:
        return set()
    rows = tx.connection.execute(_MAY_BE_HELD, {"g_ids": list(ids)})
    held = held_of(tx.connection, [RunOfTask._make(row) for row in rows], holds)
    if held:
        tx.connection.execute(_BLOCK, {"g_ids": list(held)})
    return held


def held_of(connection: Connection, runs: Collection[RunOfTask], holds: Sequence[Hold]) -> set[Id]:
    """Return the ids of those of the runs whose tasks one of the holds selects."""
    tags = _tags_of(connection, {each.task_id for each in runs}, holds)
    return {
        each.id
        for each in runs
        if any(hold.selector.matches(each.name, each.queue, tags[each.task_id]) for hold in holds)
    }


def _tags_of(
    connection: Connection, task_ids: Collection[Id], holds: Sequence[Hold]
) -> defaultdict[Id, list[str]]:
    """Return the tags of tasks, as far as one of the holds asks for them."""
    found: defaultdict[Id, list[str]] = defaultdict(list)
    wanted = frozenset().union(*(hold.selector.tags for hold in holds))
    if wanted and task_ids:
        given: dict[str, Any] = {"g_ids": list(task_ids), "g_tags": list(wanted)}
        for task_id, tag in connection.execute(_TAGS, given):
            found[task_id].append(tag)
    return found


def is_any_held(connection: Connection) -> bool:
    """Return whether a run waits for a hold."""
    return connection.execute(_IS_ANY_HELD).one_or_none() is not None


def held_page(connection: Connection, after: Id, limit: int) -> list[RunOfTask]:
    """Return up to `limit` runs that wait for a hold, by id, behind an id."""
    given = {"g_after": after, "g_limit": limit}
    return [RunOfTask._make(row) for row in connection.execute(_HELD_PAGE, given)]
