"""Rows of tasks: inserted, and updated under a guard, with tags, predecessors and waiting runs."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, update

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.tables import task, task_tag
from rota.domain.alerts.defaults import has_rules_for_ends
from rota.domain.effects import DueSooner, TaskChanged, TaskEvent
from rota.domain.schedules.fire_times import fires_after_finish
from rota.domain.tasks.definition import TaskStatus
from rota.domain.tasks.task import Task
from rota.errors import Conflict
from rota.store.alerts.changes import forget_without_rules
from rota.store.alerts.watching import first_watched, watched_after
from rota.store.calendars.usage import change_usage, insert_usage
from rota.store.chains.predecessors import change_predecessors, insert_predecessors
from rota.store.definitions import write_definition
from rota.store.handlers import change_handler
from rota.store.runs.concurrency_keys import change_concurrency
from rota.store.runs.pause import block_waiting
from rota.store.scheduling.constraint_release import change_constraints
from rota.store.sealing.secret_headers import seal_headers
from rota.store.sealing.secret_inputs import seal_waiting, stored_input
from rota.store.task_changes import emit_status

# A schedule that starts anew has no gap of a pause behind it, and adds to no span of the old one.
_NO_GAP = {"gap_run_id": None, "gap_until": None, "gap_catch_up": None}
# The statuses that a registration may leave a task in, besides active.
_ENDS = frozenset({TaskStatus.PAUSED, TaskStatus.COMPLETED})


def unchanged_since(read: Task) -> ColumnElement[bool]:
    """Guard: a concurrent change of the task wins."""
    return (task.c.generation == read.generation) & (task.c.status == read.status)


def save(tx: Transaction, existing: Task, changed: Task) -> None:
    """Write a changed task, and apply its new definition to its waiting runs. Raises Conflict if it was changed."""
    same_anchor = existing.anchored_at == changed.anchored_at
    saved = tx.connection.execute(
        update(task)
        .where(task.c.id == existing.id, unchanged_since(existing), task.c.deleted_at.is_(None))
        .values(
            _live_columns(tx, changed)
            | watched_after(tx, existing, changed)
            | ({} if same_anchor else _NO_GAP)
        )
    )
    if saved.rowcount != 1:
        raise Conflict(f"Task {existing.name!r} was changed concurrently; try again.")
    if changed.status is TaskStatus.PAUSED and existing.status is not TaskStatus.PAUSED:
        block_waiting(tx, [changed.id])
    if existing.definition.handler != changed.definition.handler:
        change_handler(tx, changed.id, changed.definition.handler)
    if existing.definition.concurrency != changed.definition.concurrency:
        change_concurrency(tx, changed.id, changed.definition.concurrency)
    if existing.definition.constraints != changed.definition.constraints:
        change_constraints(tx, changed.id, constrained=bool(changed.definition.constraints))
    if changed.definition.secret_input and not existing.definition.secret_input:
        seal_waiting(tx, changed.id)
    if existing.definition.tags != changed.definition.tags:
        tx.connection.execute(delete(task_tag).where(task_tag.c.task_id == changed.id))
        _insert_tags(tx, [changed])
    change_predecessors(tx, existing, changed)
    change_usage(tx, existing, changed)
    forget_without_rules(tx, existing, changed)
    _emit_changed(tx, existing, changed)
    _emit_due(tx, [changed])


_COUNTS = ("consecutive_failures", "kv_revision", "kv_entries", "kv_bytes")
# What no registration gives.
_NEW = dict.fromkeys((column.name for column in task.columns), None) | dict.fromkeys(_COUNTS, 0)
_INSERT = Bulk(insert(task), list(_NEW), apart=True)
_INSERT_TAGS = Bulk(insert(task_tag), ["tag", "task_id"], apart=True)


def insert_new(tx: Transaction, made: dict[str, Task]) -> None:
    """Insert new tasks (by name)."""
    if not made:
        return
    rows = [
        {
            **_NEW,
            **_live_columns(tx, each),
            **first_watched(tx, each),
            "id": each.id,
            "name": each.name,
            "created_at": each.created_at,
        }
        for each in made.values()
    ]
    _INSERT.execute(tx.connection, rows)
    _insert_tags(tx, list(made.values()))
    insert_predecessors(tx, made.values())
    insert_usage(tx, made.values())
    tx.effects.extend(
        TaskChanged(each.id, TaskEvent.CREATED, each.status_changed_by) for each in made.values()
    )
    _emit_due(tx, list(made.values()))


def _live_columns(tx: Transaction, of: Task) -> dict[str, Any]:
    return {
        "handler": of.definition.handler,
        "queue": of.definition.queue,
        "definition": write_definition(seal_headers(tx.connection, of.id, of.definition)),
        "input": stored_input(tx.connection, of.id, of.definition),
        "status": of.status,
        "status_reason": of.status_reason,
        "status_changed_at": of.status_changed_at,
        "status_changed_by": of.status_changed_by,
        "generation": of.generation,
        "anchored_at": of.anchored_at,
        "next_fire_at": of.next_fire_at,
        "deferred_until": None,  # its name, queue and tags say anew which holds select it
        "fired": of.fired,
        "fires_after_finish": fires_after_finish(of.definition.schedule),
        "has_alerts": has_rules_for_ends(of.definition),
        "overrides_at": of.overrides_at,
        "moved_to_at": of.moved_to_at,
        "declared": of.declared,
        "updated_at": of.updated_at,
        "traceparent": of.traceparent,
    }


def _insert_tags(tx: Transaction, tasks: Sequence[Task]) -> None:
    rows = [{"tag": tag, "task_id": each.id} for each in tasks for tag in each.definition.tags]
    _INSERT_TAGS.execute(tx.connection, rows)


def _emit_changed(tx: Transaction, existing: Task, changed: Task) -> None:
    by, reason = changed.status_changed_by, changed.status_reason
    tx.effects.append(TaskChanged(changed.id, TaskEvent.UPDATED, by))
    if changed.status is not existing.status and changed.status in _ENDS:
        emit_status(tx, changed.id, changed.status, by, reason)


def _emit_due(tx: Transaction, tasks: Sequence[Task]) -> None:
    due = [
        each.next_fire_at
        for each in tasks
        if each.next_fire_at and each.status is TaskStatus.ACTIVE
    ]
    if due:
        tx.effects.append(DueSooner(min(due)))
