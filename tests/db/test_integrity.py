"""Every constraint holds on both databases, and is known by its name."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, delete, insert
from sqlalchemy.exc import IntegrityError

from rota.db import tables
from rota.domain.primitives.ids import random_id
from tests.support.constraints import FOREIGN_KEY, violated
from tests.support.factories import HOUR, NOON, World, numbered

TASK, RUN, CALENDAR = numbered(1), numbered(2), numbered(3)
ROWS: dict[str, dict[str, Any]] = {
    "handler": {"name": "h", "description": "", "isolation": "none", "updated_at": NOON},
    "replica": {
        "id": numbered(3),
        "host": "h",
        "pid": 1,
        "handlers": "[]",
        "started_at": NOON,
        "lease_expires_at": NOON,
    },
    "sealing_note": {"sealed_with": "k1", "noted_at": NOON, "proof": b""},
    "unwatched_span": {"starts_at": NOON, "ends_at": NOON + HOUR},
    "alert_watch": {"id": 1, "looked_at": NOON},
    "zone_release": {"release": "2026f-0", "mixed": False, "files": b""},
    "task": {
        "id": TASK,
        "name": "t",
        "handler": "h",
        "queue": "q",
        "definition": "{}",
        "input": "{}",
        "status": "active",
        "status_changed_at": NOON,
        "status_changed_by": "me",
        "generation": 1,
        "anchored_at": NOON,
        "consecutive_failures": 0,
        "kv_revision": 0,
        "created_at": NOON,
        "updated_at": NOON,
    },
    "task_tag": {"tag": "x", "task_id": TASK},
    "calendar": {
        "id": CALENDAR,
        "name": "c",
        "kind": "dates",
        "source": "[]",
        "days": "[]",
        "version": 1,
        "revision": CALENDAR,
        "created_at": NOON,
        "updated_at": NOON,
        "updated_by": "me",
    },
    "calendar_state": {"id": 1, "revision": CALENDAR},
    "task_calendar": {"task_id": TASK, "calendar_id": CALENDAR},
    "alert": {"task_id": TASK, "kind": "failures", "raised_at": NOON},
    "notification": {
        "id": numbered(4),
        "task_id": TASK,
        "kind": "success",
        "caused_by": RUN,
        "notifies": "ops",
        "event": "{}",
        "attempts": 0,
        "created_at": NOON,
    },
    "run": {
        "id": RUN,
        "task_id": TASK,
        "task_generation": 1,
        "trigger": "schedule",
        "scheduled_for": NOON,
        "count": 1,
        "status": "queued",
        "handler": "h",
        "queue": "q",
        "priority": 0,
        "input": "{}",
        "attempt": 0,
        "failures": 0,
        "lost_count": 0,
        "conflict_count": 0,
        "created_at": NOON,
    },
    "attempt": {
        "run_id": RUN,
        "attempt": 1,
        "outcome": "failed",
        "counted": True,
        "started_at": NOON,
        "finished_at": NOON,
    },
    "attempt_token": {
        "run_id": RUN,
        "attempt": 1,
        "token_hash": "0" * 64,
        "kv_revision": 0,
        "deadline_at": NOON,
    },
    "run_log": {
        "run_id": RUN,
        "attempt": 1,
        "line": 1,
        "at": NOON,
        "level": "info",
        "message": "x",
    },
    "removed_runs": {"task_id": TASK, "until_at": NOON},
    "kv": {
        "task_id": TASK,
        "key": "k",
        "value": b"1",
        "content_type": "application/json",
        "size": 1,
        "version": 1,
        "updated_at": NOON,
        "updated_by": "me",
    },
    "kv_history": {
        "task_id": TASK,
        "key": "k",
        "version": 1,
        "content_type": "application/json",
        "size": 0,
        "updated_at": NOON,
        "updated_by": "me",
    },
    "secret": {
        "name": "s",
        "id": numbered(8),
        "version": 1,
        "origins": "[]",
        "tasks": "[]",
        "rotated_at": NOON,
        "created_at": NOON,
        "updated_at": NOON,
        "updated_by": "me",
        "sealed_with": "k1",
        "sealed": b"",
    },
    "api_key": {
        "id": "a" * 12,
        "version": 1,
        "name": "CI",
        "digest": b"",
        "scopes": "[]",
        "created_at": NOON,
        "created_by": "me",
    },
    "audit": {
        "id": numbered(5),
        "at": NOON,
        "principal": "me",
        "request_id": "r",
        "action": "task.paused",
        "kind": "task",
        "name": "t",
    },
    "event": {"id": 1, "xid": 0, "at": NOON, "events": "[]"},
    "predecessor": {"task_id": TASK, "name": "p"},
    "hold": {
        "id": numbered(7),
        "name": "freeze",
        "selector": "{}",
        "starts_at": NOON,
        "fire_times": "skip",
        "created_at": NOON,
        "created_by": "me",
        "updated_at": NOON,
        "updated_by": "me",
    },
    "queue": {"name": "q", "paused": False, "updated_at": NOON, "updated_by": "me"},
    "backfill": {
        "id": numbered(4),
        "task_id": TASK,
        "schedule": "{}",
        "anchored_at": NOON,
        "starts_at": NOON,
        "ends_at": NOON,
        "newest_first": False,
        "max_concurrent": 1,
        "spacing": 0.0,
        "runs": 1,
        "created_at": NOON,
        "created_by": "me",
    },
    "bulk": {
        "id": numbered(6),
        "verb": "rerun",
        "status": "running",
        "selector": "{}",
        "runs": 1,
        "truncated": False,
        "position": 0,
        "statuses": "{}",
        "foreseen": "[]",
        "created_at": NOON,
        "created_by": "me",
        "expires_at": NOON,
        "confirmed_at": NOON,
    },
    "bulk_selection": {"bulk_id": numbered(6), "first": 0, "run_ids": b"", "ended": ""},
    "session": {
        "digest": b"d" * 32,
        "principal": "key:1",
        "created_at": NOON,
        "expires_at": NOON + timedelta(days=7),
    },
    "run_link": {"fed_id": RUN, "feeding_id": numbered(7), "kind": "after"},
    "bulk_item": {"bulk_id": numbered(6), "position": 0, "run_id": RUN, "result": "done"},
    "idempotency": {
        "key": "k",
        "principal": "p",
        "fingerprint": "f",
        "status": 200,
        "headers": "{}",
        "body": b"",
        "created_at": NOON,
    },
}
OTHER_RUN: dict[str, Any] = {"id": numbered(9), "trigger": "manual"}
# By constraint: values of a row of the table that violate only this one.
VIOLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"pk_{name}": (name, {}) for name in ROWS},
    "pk_task": ("task", {"name": "other"}),
    "pk_run": ("run", {"trigger": "manual"}),
    "uq_task_name": ("task", {"id": numbered(9)}),
    "uq_run_task_scheduled_for": ("run", {"id": numbered(9)}),
    "ck_task_status": ("task", {"id": numbered(9), "name": "u", "status": "nonsense"}),
    "ck_task_deleted_is_inactive": ("task", {"id": numbered(9), "name": "u", "deleted_at": NOON}),
    "ck_run_status": ("run", OTHER_RUN | {"status": "nonsense"}),
    "ck_run_trigger": ("run", OTHER_RUN | {"trigger": "nonsense"}),
    "ck_run_final_is_finished": ("run", OTHER_RUN | {"status": "succeeded"}),
    "ck_run_running_is_held": (
        "run",
        OTHER_RUN | {"status": "running", "started_at": NOON, "attempt": 1},
    ),
    "ck_run_held_is_running": ("run", OTHER_RUN | {"holder": numbered(3)}),
    "ck_run_reason": ("run", OTHER_RUN | {"status": "failed", "finished_at": NOON}),
    "ck_run_result_of_success": ("run", OTHER_RUN | {"result": "1"}),
    "ck_run_span": ("run", OTHER_RUN | {"count": 2}),
    "ck_run_concurrency": ("run", OTHER_RUN | {"concurrency_key": "k"}),
    "ck_task_gap": ("task", {"id": numbered(9), "name": "u", "gap_until": NOON}),
    "pk_alert": ("alert", {"raised_at": NOON}),
    "ck_alert_kind": ("alert", {"kind": "nonsense"}),
    "pk_notification": ("notification", {"kind": "failures"}),
    "ck_notification_kind": ("notification", {"id": numbered(9), "kind": "nonsense"}),
    "ck_notification_sent_is_done": (
        "notification",
        {"id": numbered(9), "kind": "failures", "sent_at": NOON, "not_before": NOON},
    ),
    "ck_notification_given_up_is_done": (
        "notification",
        {"id": numbered(9), "kind": "failures", "sent_at": NOON, "given_up_at": NOON},
    ),
    "uq_notification_success": ("notification", {"id": numbered(9)}),
    "pk_hold": ("hold", {"name": "other"}),
    "uq_hold_name": ("hold", {"id": numbered(9)}),
    "ck_hold_fire_times": (
        "hold",
        {"id": numbered(9), "name": "other", "fire_times": "nonsense"},
    ),
    "ck_hold_span": ("hold", {"id": numbered(9), "name": "other", "ends_at": NOON}),
    "ck_hold_closed_has_ended": ("hold", {"id": numbered(9), "closed_at": NOON}),
    "ck_queue_concurrency": ("queue", {"name": "other", "concurrency": 0}),
    "ck_backfill_max_concurrent": ("backfill", {"id": numbered(9), "max_concurrent": 0}),
    "ck_bulk_verb": ("bulk", {"id": numbered(9), "verb": "nonsense"}),
    "ck_bulk_status": ("bulk", {"id": numbered(9), "status": "nonsense"}),
    "ck_bulk_ended_is_finished": ("bulk", {"id": numbered(9), "finished_at": NOON}),
    "ck_bulk_confirmed": ("bulk", {"id": numbered(9), "confirmed_at": None}),
    "ck_bulk_position": ("bulk", {"id": numbered(9), "position": 2}),
    "ck_bulk_finished_has_results": (
        "bulk",
        {"id": numbered(9), "status": "finished", "finished_at": NOON},
    ),
    "ck_bulk_preview_does_nothing": (
        "bulk",
        {"id": numbered(9), "status": "previewed", "position": 1},
    ),
    "ck_bulk_max_concurrent": ("bulk", {"id": numbered(9), "max_concurrent": 0}),
    "ck_bulk_selection_first": ("bulk_selection", {"first": -1}),
    "ck_session_key": ("session", {"digest": b"e" * 32, "key_digest": b"k" * 32}),
    "ck_session_lasts": ("session", {"digest": b"e" * 32, "expires_at": NOON}),
    "ck_run_link_kind": ("run_link", {"feeding_id": numbered(8), "kind": "nonsense"}),
    "ck_run_link_of_two_runs": ("run_link", {"feeding_id": RUN}),
    "ck_bulk_item_result": ("bulk_item", {"position": 1, "result": "nonsense"}),
    "ck_bulk_item_refused_has_problem": ("bulk_item", {"position": 1, "problem": "overlap"}),
    "ck_bulk_item_new_run_is_done": (
        "bulk_item",
        {"position": 1, "result": "changed", "new_run_id": RUN},
    ),
    "ck_attempt_outcome": ("attempt", {"attempt": 2, "outcome": "nonsense"}),
    "pk_unwatched_span": ("unwatched_span", {"starts_at": NOON - HOUR}),
    "ck_unwatched_span_takes_time": ("unwatched_span", {"ends_at": NOON}),
    "pk_alert_watch": ("alert_watch", {"looked_at": NOON + HOUR}),
    "ck_alert_watch_only": ("alert_watch", {"id": 2}),
    "pk_calendar": ("calendar", {"name": "other"}),
    "uq_calendar_name": ("calendar", {"id": numbered(9)}),
    "ck_calendar_kind": ("calendar", {"id": numbered(9), "name": "other", "kind": "nonsense"}),
    "ck_calendar_days": ("calendar", {"id": numbered(9), "name": "other", "days": None}),
    "pk_task_calendar": ("task_calendar", {}),
    "pk_calendar_state": ("calendar_state", {}),
    "ck_calendar_state_one": ("calendar_state", {"id": 2}),
    "ck_kv_version": ("kv", {"key": "other", "version": 0}),
    "ck_kv_history_version": ("kv_history", {"version": 0}),
    "ck_secret_version": ("secret", {"name": "other", "version": 0}),
    "ck_api_key_version": ("api_key", {"id": "b" * 12, "version": 0}),
    "ck_api_key_rate": ("api_key", {"id": "b" * 12, "rate": 0}),
    "ck_api_key_max_tasks": ("api_key", {"id": "b" * 12, "max_tasks": 0}),
    "ck_api_key_max_unfinished_runs": ("api_key", {"id": "b" * 12, "max_unfinished_runs": 0}),
    "ck_api_key_max_kv_bytes": ("api_key", {"id": "b" * 12, "max_kv_bytes": 0}),
    "ck_api_key_previous_ends": ("api_key", {"id": "b" * 12, "previous_until": NOON}),
    "ck_api_key_revoked_by": ("api_key", {"id": "b" * 12, "revoked_at": NOON}),
}
FOREIGN_KEYS: dict[str, tuple[str, dict[str, Any]]] = {
    "fk_task_handler": ("task", {"id": numbered(9), "name": "u", "handler": "missing"}),
    "fk_task_tag_task_id": ("task_tag", {"task_id": numbered(9)}),
    "fk_task_calendar_task_id": ("task_calendar", {"task_id": numbered(9)}),
    "fk_task_calendar_calendar_id": ("task_calendar", {"calendar_id": numbered(9)}),
    "fk_alert_task_id": ("alert", {"task_id": numbered(9)}),
    "fk_notification_task_id": (
        "notification",
        {"id": numbered(9), "kind": "failures", "task_id": numbered(9)},
    ),
    "fk_predecessor_task_id": ("predecessor", {"task_id": numbered(9)}),
    "fk_backfill_task_id": ("backfill", {"id": numbered(9), "task_id": numbered(9)}),
    "fk_run_task_id": ("run", OTHER_RUN | {"task_id": numbered(9)}),
    "fk_attempt_run_id": ("attempt", {"run_id": numbered(9)}),
    "fk_attempt_token_run_id": ("attempt_token", {"run_id": numbered(9)}),
    "fk_run_log_run_id": ("run_log", {"run_id": numbered(9)}),
    "fk_bulk_selection_bulk_id": ("bulk_selection", {"bulk_id": numbered(9)}),
    "fk_bulk_item_bulk_id": ("bulk_item", {"bulk_id": numbered(9)}),
    "fk_kv_task_id": ("kv", {"task_id": numbered(9)}),
    "fk_kv_history_task_id": ("kv_history", {"task_id": numbered(9)}),
}


@pytest.fixture
def filled(world: World) -> World:
    """A world with one row in each table."""
    with world.transaction() as tx:
        tx.connection.execute(delete(tables.calendar_state))
        for name, row in ROWS.items():
            tx.connection.execute(insert(tables.metadata.tables[name]), row)
    return world


def _violate(world: World, table: str, wrong: dict[str, Any]) -> str | None:
    with pytest.raises(IntegrityError) as refused, world.transaction() as tx:
        tx.connection.execute(insert(tables.metadata.tables[table]), ROWS[table] | wrong)
    return violated(refused.value)


def test_every_constraint_is_known_by_its_name(filled: World) -> None:
    found = {name: _violate(filled, *wrong) for name, wrong in VIOLATIONS.items()}

    assert found == {name: name for name in VIOLATIONS}


def test_every_reference_holds(filled: World) -> None:
    found = {name: _violate(filled, *wrong) for name, wrong in FOREIGN_KEYS.items()}

    expected = {name: FOREIGN_KEY if filled.is_sqlite else name for name in FOREIGN_KEYS}
    assert found == expected


def _names_in_metadata() -> Iterator[str]:
    for table in tables.metadata.sorted_tables:
        yield f"pk_{table.name}"
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                yield f"ck_{table.name}_{str(constraint.name).removeprefix(f'ck_{table.name}_')}"
        for index in table.indexes:
            if index.unique:
                yield str(index.name)


def test_every_constraint_of_the_tables_is_tested() -> None:
    assert set(_names_in_metadata()) == set(VIOLATIONS)


def test_the_name_of_a_deleted_task_can_be_used_again(filled: World) -> None:
    gone = {"id": random_id(), "status": "cancelled", "deleted_at": NOON}

    with filled.transaction() as tx:
        tx.connection.execute(insert(tables.task), ROWS["task"] | gone)
        tx.connection.execute(insert(tables.task), ROWS["task"] | gone | {"id": random_id()})

    assert filled.count(tables.task) == 3


def test_a_violated_constraint_is_named_only_if_the_database_names_it() -> None:
    error = IntegrityError("INSERT", {}, Exception("something else"))

    assert violated(error) is None
