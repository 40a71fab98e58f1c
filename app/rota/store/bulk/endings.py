"""Cancellations and deletions of many runs."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, update

from rota.db.command import StaleError, Transaction
from rota.db.tables import predecessor, run, task
from rota.db.types import among
from rota.domain.access.names import NameLimit
from rota.domain.bulk.model import Refusal
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason
from rota.domain.runs.status import RunStatus, Trigger
from rota.store.bulk.batch import PresentRun, Verdicts
from rota.store.runs.cancellation import cancel_waiting_runs, request_end
from rota.store.runs.removal import remove_runs
from rota.store.task_names import covers

_PING = Refusal(
    "run-in-use", "It is the last ping of its task, from which the alert on its absence counts."
)


def cancel(tx: Transaction, runs: Sequence[PresentRun], verdicts: Verdicts) -> None:
    """Cancel waiting runs at once, and request running ones to end, of locked tasks."""
    these = among(run.c.id, [each.id for each in runs])
    ended = {each.id for each in cancel_waiting_runs(tx, CancelReason.REQUESTED, these)}
    ended.update(request_end(tx, CancelReason.REQUESTED, these))
    for each in runs:
        if each.id in ended:
            verdicts.done(each.id)
        else:
            verdicts.changed(each.id, "It has ended meanwhile.")


def delete_runs(
    tx: Transaction, runs: Sequence[PresentRun], limit: NameLimit, verdicts: Verdicts
) -> None:
    """Delete finished runs of locked tasks, with their attempts and what they logged.

    Their tasks show the run before as the last one; a span of skipped fire times begins anew after a deleted one. No
    refusal names a task beyond `limit`.
    """
    refused = _in_use(tx, runs, limit)
    for id, why in refused.items():
        verdicts.refuse(id, why)
    ids = [each.id for each in runs if each.id not in refused]
    if not ids:
        return
    if remove_runs(tx.connection, ids) != len(ids):
        raise StaleError("a run was changed by another replica")
    _forget(tx, {each.task_id for each in runs}, ids)
    for id in ids:
        verdicts.done(id)


def _forget(tx: Transaction, task_ids: Collection[Id], ids: Sequence[Id]) -> None:
    of_tasks = among(task.c.id, task_ids)
    tx.connection.execute(
        update(task).where(of_tasks, among(task.c.gap_run_id, ids)).values(gap_run_id=None)
    )
    tx.connection.execute(
        update(task).where(of_tasks, among(task.c.last_run_id, ids)).values(last_run_id=_last_run())
    )


def _last_run() -> ColumnElement[Id | None]:
    """Return the run with the latest fire time that a task has executed: a rerun of an older one is not meant."""
    carried_out = or_(run.c.started_at.is_not(None), run.c.trigger == Trigger.PING)
    return (
        select(run.c.id)
        .where(run.c.task_id == task.c.id, run.c.finished_at.is_not(None), carried_out)
        .where(run.c.status != RunStatus.SKIPPED)
        .order_by(run.c.scheduled_for.desc(), run.c.id.desc())
        .limit(1)
        .correlate(task)
        .scalar_subquery()
    )


def _in_use(tx: Transaction, runs: Sequence[PresentRun], limit: NameLimit) -> dict[Id, Refusal]:
    """Return the runs that something still needs, and what that is."""
    found = dict.fromkeys(_last_pings(tx, runs), _PING)
    names = sorted({each.task for each in runs})
    visible = case((covers(limit, task.c.name), task.c.name))
    awaited = (
        select(predecessor.c.run_id, func.min(visible).label("name"))
        .join(task, and_(task.c.id == predecessor.c.task_id, task.c.deleted_at.is_(None)))
        .where(predecessor.c.name.in_(names), predecessor.c.run_id.in_([each.id for each in runs]))
        .group_by(predecessor.c.run_id)
    )
    for row in tx.connection.execute(awaited):
        who = "A task that this key may not see" if row.name is None else f"Task {row.name!r}"
        detail = (
            f"{who} takes its result once its other predecessors have run; delete it after that."
        )
        found[row.run_id] = Refusal("run-in-use", detail)
    return found


def _last_pings(tx: Transaction, runs: Sequence[PresentRun]) -> list[Id]:
    pings = [each.id for each in runs if each.trigger == Trigger.PING]
    if not pings:
        return []
    newer = run.alias("newer")
    has_newer = exists().where(
        newer.c.task_id == run.c.task_id,
        newer.c.trigger == Trigger.PING,
        or_(
            newer.c.scheduled_for > run.c.scheduled_for,
            and_(newer.c.scheduled_for == run.c.scheduled_for, newer.c.id > run.c.id),
        ),
    )
    watched = select(run.c.id).join(task, task.c.id == run.c.task_id)
    last = watched.where(run.c.id.in_(pings), task.c.watched_from.is_not(None), ~has_newer)
    return list(tx.connection.execute(last).scalars())
