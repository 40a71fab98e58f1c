"""Overlap: what a run becomes that comes while an earlier one of its task is unfinished."""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, func, literal_column, not_, or_, select, update

from rota.db.bulk import Bulk
from rota.db.tables import run, task
from rota.db.types import is_one_of, spelled_out
from rota.db.writer import Transaction
from rota.domain.policies import MOST_BUFFERED, OverlapPolicy
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason, SkipReason
from rota.domain.runs.status import RunStatus, Trigger
from rota.store.runs.cancellation import cancel_unfinished
from rota.store.runs.waiting import let_through
from rota.store.task_rows import read_definition

#: What makes a later fire time an overlap: an unfinished run, but not one that was asked for a time still ahead, nor
#: one of a backfill, which keeps an order of its own.
OCCUPIES = (
    run.c.finished_at.is_(None),
    or_(run.c.not_before.is_(None), run.c.attempt > 0),
    run.c.trigger != Trigger.BACKFILL,
)
_BEHIND_ANOTHER = and_(
    run.c.status == spelled_out(RunStatus.BLOCKED),
    # Spelled as the condition of ix_run_in_line is, so that planners know it again.
    func.substr(run.c.waiting_on, literal_column("1"), literal_column("10"))
    == literal_column("'[\"overlap:'"),
)

# Built once: building them costs more than executing them, and they are part of every firing and of every finish.
_UNFINISHED = (
    select(run.c.task_id, run.c.id, run.c.cancel_requested_at, _BEHIND_ANOTHER.label("waits"))
    .where(is_one_of(run.c.task_id, "g_ids"), *OCCUPIES)
    .order_by(run.c.scheduled_for, run.c.id)
)
_IN_LINE = (
    select(run.c.task_id, run.c.id)
    .where(is_one_of(run.c.task_id, "g_ids"), _BEHIND_ANOTHER)
    .order_by(run.c.scheduled_for.desc(), run.c.id.desc())
)
_DEFINITIONS = select(task.c.id, task.c.definition).where(is_one_of(task.c.id, "g_ids"))
_TO_LINE_UP = (
    select(run.c.task_id, run.c.id, run.c.status)
    .where(is_one_of(run.c.task_id, "g_ids"), *OCCUPIES)
    .order_by(run.c.task_id, (run.c.status != RunStatus.RUNNING), run.c.scheduled_for, run.c.id)
)
_GET_BEHIND = Bulk(
    update(run)
    .where(run.c.id == bindparam("g_id"), run.c.status != spelled_out(RunStatus.RUNNING))
    .values(status=RunStatus.BLOCKED, waiting_on=bindparam("n_waiting_on")),
    apart=True,
)


@dataclass(slots=True)
class Line:
    """The unfinished runs of a task: the last one, which the next one waits for, and how many wait in line."""

    last: Id | None = None
    waiting: int = 0
    #: Whether there is one that nobody has asked to end. One that is about to end is waited for.
    busy: bool = False


def lines(tx: Transaction, task_ids: Collection[Id]) -> dict[Id, Line]:
    """Return the lines of tasks; one without an unfinished run has an empty one."""
    found = {id: Line() for id in task_ids}
    if not found:
        return found
    for row in tx.connection.execute(_UNFINISHED, {"g_ids": list(found)}):
        line = found[row.task_id]
        line.last = row.id
        line.waiting += bool(row.waits)
        line.busy = line.busy or row.cancel_requested_at is None
    return found


def place(
    tx: Transaction, policy: OverlapPolicy, rows: Sequence[dict[str, Any]], line: Line
) -> None:
    """Put new runs of a task (rows, in order) where the policy wants them: beside, behind or instead of others.

    Several at once are caught up after an outage: those of a task that skips on overlap come one after the other.
    """
    new = [row for row in rows if row["status"] is RunStatus.QUEUED]
    if policy is OverlapPolicy.SKIP and len(new) == 1 and line.busy:
        _skip(new[0])
    elif policy in {OverlapPolicy.SKIP, OverlapPolicy.BUFFER}:
        for row in new:
            _line_up(row, line)
    elif policy is OverlapPolicy.REPLACE and new:
        _replace(tx, new, line)


def release(tx: Transaction, task_ids: Collection[Id]) -> None:
    """Let the first run in line go on, of tasks of which nothing else is under way."""
    in_line = tx.connection.execute(_IN_LINE, {"g_ids": list(task_ids)}).all()
    if not in_line:
        return
    first = {row.task_id: row.id for row in in_line}
    under_way = (run.c.task_id.in_(first), *OCCUPIES, not_(_BEHIND_ANOTHER))
    for task_id in set(tx.connection.execute(select(run.c.task_id).where(*under_way)).scalars()):
        del first[task_id]
    if first:
        let_through(tx, run.c.id.in_(first.values()))


def line_up(tx: Transaction, task_ids: Collection[Id]) -> None:
    """Put the waiting runs of tasks that were resumed one behind the other again, unless they allow overlap."""
    owners = tx.connection.execute(_DEFINITIONS, {"g_ids": list(task_ids)})
    in_line = [
        owner.id
        for owner in owners
        if read_definition(owner.definition).overlap_policy is not OverlapPolicy.ALLOW
    ]
    unfinished = tx.connection.execute(_TO_LINE_UP, {"g_ids": in_line}).all()
    behind = [
        {"g_id": row.id, "n_waiting_on": _on(before.id)}
        for _, of_task in itertools.groupby(unfinished, key=lambda row: row.task_id)
        for before, row in itertools.pairwise(of_task)
        if row.status != RunStatus.RUNNING
    ]
    _GET_BEHIND.execute(tx.connection, behind)


def _line_up(row: dict[str, Any], line: Line) -> None:
    line.busy = True
    if line.last is None:
        line.last = row["id"]
    elif line.waiting >= MOST_BUFFERED:
        _skip(row)
    else:
        row["status"], row["waiting_on"] = RunStatus.BLOCKED, _on(line.last)
        line.last = row["id"]
        line.waiting += 1


def _replace(tx: Transaction, new: Sequence[dict[str, Any]], line: Line) -> None:
    *earlier, last = new
    for row in earlier:
        row["status"], row["reason"] = RunStatus.CANCELLED, CancelReason.REPLACED
        row["finished_at"] = row["created_at"]
    if line.last is None:
        return
    running = cancel_unfinished(tx, [last["task_id"]], CancelReason.REPLACED, *OCCUPIES)
    if running:
        last["status"], last["waiting_on"] = RunStatus.BLOCKED, _on(running[-1])


def _skip(row: dict[str, Any]) -> None:
    row["status"], row["reason"] = RunStatus.SKIPPED, SkipReason.OVERLAP
    row["finished_at"] = row["created_at"]


def _on(run_id: Id) -> str:
    return json_text.dumps([f"overlap:{run_id}"])
