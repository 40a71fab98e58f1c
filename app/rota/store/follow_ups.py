"""Follow-ups of runs that end, in the same commit."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, exists, or_, select, update

from rota.db.command import Transaction
from rota.db.connection_state.alerting import alerting_of
from rota.db.tables import predecessor, run, task
from rota.db.types import is_one_of, spelled_out
from rota.domain.effects import DueSooner, RunEnded, SpanExtended, TaskChanged, TaskEvent
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.definitions import Unreadable
from rota.domain.schedules.fire_times import after_finish
from rota.domain.schedules.replanning.moved_fire_time import NextFire
from rota.domain.tasks.definition import TaskStatus
from rota.store.alerts.changes import forget_alerts
from rota.store.alerts.run_ends import alert_on_ends
from rota.store.alerts.sending import settle, try_sooner
from rota.store.calendars.opening import opened_schedule
from rota.store.calendars.present import PresentCalendars
from rota.store.chains import propagation
from rota.store.definitions import read_definition
from rota.store.runs import overlap
from rota.store.runs.concurrency_keys import promote
from rota.store.task_changes import SERVICE, change_status

# How many times in a row runs may end because others have: the length of chains is limited at registration.
MOST_ROUNDS = 1_000

_FIRES_AFTER_FINISH = and_(
    task.c.fires_after_finish,
    task.c.next_fire_at.is_(None),
    task.c.status.in_([spelled_out(TaskStatus.ACTIVE), spelled_out(TaskStatus.PAUSED)]),
)
_IS_PREDECESSOR = and_(
    exists().where(predecessor.c.name == task.c.name),
    task.c.deleted_at.is_(None),
)


class _Concerned(NamedTuple):
    """A task with an ended run, that fires after it, that other tasks come after, or that may alert on it."""

    id: Id
    name: str
    definition: str
    anchored_at: datetime
    fires: bool
    is_predecessor: bool
    alerts: bool


# One look at the tasks whose runs have ended: nearly always nothing waits for them.
_ENDED_OF = select(
    task.c.id,
    task.c.name,
    task.c.definition,
    task.c.anchored_at,
    _FIRES_AFTER_FINISH.label("fires"),
    _IS_PREDECESSOR.label("is_predecessor"),
    task.c.has_alerts,
).where(is_one_of(task.c.id, "g_ids"))
_CONCERNED = _ENDED_OF.where(or_(_FIRES_AFTER_FINISH, _IS_PREDECESSOR, task.c.has_alerts))
# Runs that meet no other run of their task.
_BESIDE_OTHERS = frozenset({Trigger.NOTIFICATION, Trigger.PING})
_UNFINISHED = select(run.c.task_id).where(
    is_one_of(run.c.task_id, "g_ids"), run.c.finished_at.is_(None)
)
_WITH_ALERTS = select(task.c.id).where(is_one_of(task.c.id, "g_ids"), task.c.has_alerts)
# Changes after which a task may take the notifications that wait for it.
_MAY_TAKE = frozenset({TaskEvent.CREATED, TaskEvent.UPDATED, TaskEvent.RESUMED})


def follow_up(tx: Transaction) -> None:
    """Write what follows from the runs that have ended in this transaction since the last call.

    The writer calls it after each command; a command calls it where it reads afterwards what this writes.

    The next run behind each one is unblocked, as are those that wait for the same concurrency key; a schedule that
    counts from the end of a run (`fixed_delay`) gets its next fire time; and successors are notified. That may end
    further runs, which are followed up as well. Alerts are raised and end, and the notifications of them are sent, or
    tried again.
    """
    for _ in range(MOST_ROUNDS):
        effects = tx.effects[tx.followed_up :]
        tx.followed_up = len(tx.effects)
        changed = [each for each in effects if isinstance(each, TaskChanged)]
        if changed:
            _follow_up_changes(tx, changed)
        extended = [each for each in effects if isinstance(each, SpanExtended)]
        if extended:
            _follow_up_skips(tx, extended)
        ended = [each for each in effects if isinstance(each, RunEnded)]
        if not ended:
            return
        _follow_up(tx, ended)


def _follow_up_changes(tx: Transaction, changed: Sequence[TaskChanged]) -> None:
    if cancelled := {each.task_id for each in changed if each.what is TaskEvent.CANCELLED}:
        forget_alerts(tx, cancelled)
    if taking := {each.task_id for each in changed if each.what in _MAY_TAKE}:
        try_sooner(tx, taking)


def _follow_up_skips(tx: Transaction, extended: Sequence[SpanExtended]) -> None:
    """Let what is skipped once more raise what it did not raise before: the rule, or a run since, may be newer."""
    skipped = [
        RunEnded(each.run_id, each.task_id, RunStatus.SKIPPED, each.reason, Trigger.SCHEDULE)
        for each in extended
    ]
    concerned = {each.task_id for each in extended}
    if not alerting_of(tx.connection).defaults.concern_ends:
        rows = tx.connection.execute(_WITH_ALERTS, {"g_ids": list(concerned)})
        concerned = set(rows.scalars())
    alert_on_ends(tx, skipped, concerned)


def _follow_up(tx: Transaction, ended: Sequence[RunEnded]) -> None:
    tasks = {effect.task_id for effect in ended}
    overlap.release(tx, tasks)
    promote(tx, {effect.concurrency_key for effect in ended if effect.concurrency_key is not None})
    by_default = alerting_of(tx.connection).defaults.concern_ends
    look = _ENDED_OF if by_default else _CONCERNED
    rows = tx.connection.execute(look, {"g_ids": list(tasks)})
    concerned = [_Concerned._make(row) for row in rows]
    # First of all, since successors may lock further tasks.
    alert_on_ends(tx, ended, {each.id for each in concerned if by_default or each.alerts})
    settle(tx, ended)
    firing = [each for each in concerned if each.fires]
    busy = _busy(tx, firing, ended)
    for each in firing:
        if each.id not in busy:
            _fire_after_finish(tx, each)
    propagation.notify_successors(
        tx, ended, {each.id: each.name for each in concerned if each.is_predecessor}
    )


def _busy(tx: Transaction, firing: Sequence[_Concerned], ended: Sequence[RunEnded]) -> set[Id]:
    """Return those of the tasks whose ended runs all were beside another one, which continues: its end counts."""
    in_line = {each.task_id for each in ended if each.trigger not in _BESIDE_OTHERS}
    if not (beside := [each.id for each in firing if each.id not in in_line]):
        return set()
    return set(tx.connection.execute(_UNFINISHED, {"g_ids": beside}).scalars())


def _fire_after_finish(tx: Transaction, of: _Concerned) -> None:
    calendars = PresentCalendars(tx.connection)
    schedule = opened_schedule(read_definition(of.definition).schedule, calendars)
    # One that cannot be read has not ended: it is due, and the firing pass pauses it as unplannable.
    readable = not isinstance(schedule, Unreadable)
    anchor = Anchor(of.anchored_at, of.name)
    following = after_finish(schedule, anchor, tx.now) if readable else tx.now
    # A time that was set meanwhile (by a patch, or by the run itself) stays.
    unset = task.c.next_fire_at.is_(None)
    if following is None:
        change_status(tx, [of.id], TaskStatus.COMPLETED, SERVICE, unset)
        return
    fires = update(task).where(task.c.id == of.id, unset)
    if tx.connection.execute(fires.values(**NextFire(following).columns)).rowcount:
        tx.effects.append(DueSooner(following))
