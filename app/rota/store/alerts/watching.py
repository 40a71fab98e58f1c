"""From when a task is watched for what follows from time: the columns of its row."""

from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import Connection, case, literal, or_, update

from rota.db.command import Transaction
from rota.db.connection_state.alerting import alerting_of
from rota.db.tables import task
from rota.domain.alerts.defaults import Rules, rules_of
from rota.domain.alerts.rules import AlertKind
from rota.domain.alerts.timing import TIMED, first_check, has_timed_rules
from rota.domain.schedules.definitions import After, AnyOf, Manual, Planned, Unreadable
from rota.domain.schedules.fire_times import fires_after_finish
from rota.domain.schedules.rules import Calendar, Cron, Interval, Once
from rota.domain.tasks.definition import TaskDefinition, TaskStatus
from rota.domain.tasks.task import Task


def rules_for(connection: Connection, name: str, definition: TaskDefinition) -> Rules:
    """Return the rules that hold for a task: its own, or the defaults of the service."""
    return rules_of(definition, name, alerting_of(connection).defaults)


def is_unannounced(definition: TaskDefinition) -> bool:
    """Return whether runs of a task may come without a fire time before, and without a request."""
    schedule: Planned = definition.schedule
    match schedule:
        case After():
            return True
        case Interval():
            return fires_after_finish(schedule)
        case Once() | Cron() | Calendar() | AnyOf() | Manual() | Unreadable():
            return False
        case _:
            assert_never(schedule)


def first_watched(tx: Transaction, made: Task) -> dict[str, Any]:
    """Return the columns of a new task."""
    rules = rules_for(tx.connection, made.name, made.definition)
    if not has_timed_rules(rules):
        return {"alert_check_at": None, "watched_from": None}
    return {
        "alert_check_at": first_check(
            rules,
            tx.now,
            made.next_fire_at,
            is_unannounced=is_unannounced(made.definition),
        ),
        "watched_from": tx.now,
    }


def watched_after(tx: Transaction, existing: Task, changed: Task) -> dict[str, Any]:
    """Return the columns of a task that a registration has changed.

    It is checked soon, since its fire times may have changed. What it counts from stays, unless the rules did too, or
    it is revived.
    """
    before, after = (
        rules_for(tx.connection, each.name, each.definition) for each in (existing, changed)
    )
    if not has_timed_rules(after):
        # An alert that is raised has lost its rule: the next look ends it.
        return {"alert_check_at": tx.now} if has_timed_rules(before) else {}
    revived = changed.status is TaskStatus.ACTIVE and existing.status is not TaskStatus.ACTIVE
    begins_anew = revived or _timed(before) != _timed(after)
    since = (
        tx.now
        if begins_anew
        else case(
            (task.c.watched_from.is_(None), literal(tx.now, task.c.watched_from.type)),
            else_=task.c.watched_from,
        )
    )
    return {"alert_check_at": tx.now, "watched_from": since}


def check_sooner(tx: Transaction, of: Task, due_at: datetime) -> None:
    """Have a task looked at when a run that no fire time has announced would be late; most tasks need no statement."""
    rule = rules_for(tx.connection, of.name, of.definition).on_late
    if rule is None:
        return
    late_at = due_at + rule.after
    later = or_(task.c.alert_check_at.is_(None), task.c.alert_check_at > late_at)
    sooner = update(task).where(task.c.id == of.id, later).values(alert_check_at=late_at)
    tx.connection.execute(sooner)  # no row: it is checked before


def _timed(rules: Rules) -> tuple[Any, ...]:
    """Return what of the rules decides when an alert follows from time."""
    failure = rules.on_failure
    conditions = (
        None if failure is None else failure.success_within,
        rules.expect_every,
        None if rules.on_late is None else rules.on_late.after,
    )
    return tuple(
        None if rules.of(kind) is None else condition
        for kind, condition in zip(TIMED, (*conditions,), strict=True)
    )


assert TIMED == (AlertKind.NO_SUCCESS, AlertKind.NO_PING, AlertKind.LATE)  # the order of `_timed`
