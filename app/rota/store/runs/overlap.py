"""Overlap: the lines of tasks, as they are stored, and the places of new runs in them."""

import itertools
from collections.abc import Collection, Sequence

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    func,
    literal_column,
    not_,
    or_,
    select,
    update,
)

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.tables import run, task
from rota.db.types import is_one_of, spelled_out
from rota.domain.policies import OverlapPolicy
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason
from rota.domain.runs.overlap import Line, admit, behind, has_line
from rota.domain.runs.status import RunStatus, Trigger
from rota.store.definitions import read_definition
from rota.store.runs.cancellation import cancel_unfinished
from rota.store.runs.new_run import NewRun
from rota.store.runs.waiting import blocked, unblock, waiting_on_run

#: The runs that a later fire time overlaps with: unfinished ones, except those requested for a later time, those of a
#: backfill, which keeps an order of its own, and notifications, which overlap with everything.
OCCUPIES = (
    run.c.finished_at.is_(None),
    or_(run.c.not_before.is_(None), run.c.attempt > 0),
    run.c.trigger.not_in([spelled_out(each) for each in (Trigger.BACKFILL, Trigger.NOTIFICATION)]),
)
_BEHIND_ANOTHER = and_(
    run.c.status == spelled_out(RunStatus.BLOCKED),
    # Spelled as the condition of ix_run_in_line is, so that planners know it again.
    func.substr(run.c.waiting_on, literal_column("1"), literal_column("10"))
    == literal_column("'[\"overlap:'"),
)

# Built once: building them costs more than executing them, and they are part of every firing and of every finish.
_UNFINISHED = (
    select(run.c.id, run.c.task_id, run.c.cancel_requested_at, _BEHIND_ANOTHER.label("waits"))
    .where(is_one_of(run.c.task_id, "g_ids"), *OCCUPIES)
    .order_by(run.c.scheduled_for, run.c.id)
)
_IN_LINE = (
    select(run.c.task_id, run.c.id)
    .where(is_one_of(run.c.task_id, "g_ids"), _BEHIND_ANOTHER)
    .order_by(run.c.scheduled_for.desc(), run.c.id.desc())
)
_DEFINITIONS = select(task.c.id, task.c.definition).where(is_one_of(task.c.id, "g_ids"))
_TO_REQUEUE = (
    select(run.c.task_id, run.c.id, run.c.status)
    .where(is_one_of(run.c.task_id, "g_ids"), *OCCUPIES)
    .order_by(run.c.task_id, (run.c.status != RunStatus.RUNNING), run.c.scheduled_for, run.c.id)
)
_BLOCK_BEHIND = Bulk(
    update(run)
    .where(run.c.id == bindparam("g_id"), run.c.status != spelled_out(RunStatus.RUNNING))
    .values(blocked(bindparam("n_waiting_on"))),
    apart=True,
)


def lines(tx: Transaction, task_ids: Collection[Id], *which: ColumnElement[bool]) -> dict[Id, Line]:
    """Return the lines of tasks, of certain runs only; one without an unfinished run has an empty one."""
    found = dict.fromkeys(task_ids, Line())
    if not found:
        return found
    unfinished = _UNFINISHED.where(*which) if which else _UNFINISHED
    for id, task_id, cancel_requested_at, waits in tx.connection.execute(
        unfinished, {"g_ids": list(found)}
    ):
        _, waiting, busy = found[task_id]
        if cancel_requested_at is None:
            busy = busy or id
        found[task_id] = Line(id, waiting + bool(waits), busy)
    return found


def place(tx: Transaction, policy: OverlapPolicy, runs: Sequence[NewRun], line: Line) -> Line:
    """Give new runs of a task, in order, the places that the policy wants; return the line with them."""
    new = [each for each in runs if each.status is RunStatus.QUEUED]
    admitted = admit(policy, line, [each.id for each in new])
    for each, given in zip(new, admitted.places, strict=True):
        each.take(given)
    if admitted.replaces:
        running = cancel_unfinished(tx, [new[-1].task_id], CancelReason.REPLACED, *OCCUPIES)
        if running:
            new[-1].take(behind(running[-1]))
    return admitted.line


def release(tx: Transaction, task_ids: Collection[Id]) -> None:
    """Unblock the first run in line of those of the tasks that have nothing else under way."""
    in_line = tx.connection.execute(_IN_LINE, {"g_ids": list(task_ids)}).all()
    if not in_line:
        return
    first = {row.task_id: row.id for row in in_line}
    under_way = (run.c.task_id.in_(first), *OCCUPIES, not_(_BEHIND_ANOTHER))
    for task_id in set(tx.connection.execute(select(run.c.task_id).where(*under_way)).scalars()):
        del first[task_id]
    if first:
        unblock(tx, run.c.id.in_(first.values()))


def requeue(tx: Transaction, task_ids: Collection[Id]) -> None:
    """Block the waiting runs of resumed tasks, each behind the one before it, unless the task allows overlap."""
    owners = tx.connection.execute(_DEFINITIONS, {"g_ids": list(task_ids)})
    in_line = [
        owner.id for owner in owners if has_line(read_definition(owner.definition).overlap_policy)
    ]
    unfinished = tx.connection.execute(_TO_REQUEUE, {"g_ids": in_line}).all()
    behind = [
        {"g_id": row.id, "n_waiting_on": waiting_on_run(before.id)}
        for _, of_task in itertools.groupby(unfinished, key=lambda row: row.task_id)
        for before, row in itertools.pairwise(of_task)
        if row.status != RunStatus.RUNNING
    ]
    _BLOCK_BEHIND.execute(tx.connection, behind)
