"""Notifications: an event for a task, and the run that sends it, written in one commit."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import insert

from rota.db.bulk import Bulk
from rota.db.command import Transaction
from rota.db.connection_state.alerting import alerting_of
from rota.db.tables import notification
from rota.domain.alerts.events import AlertEvent, envelope, links, message_of
from rota.domain.alerts.rules import AlertKind
from rota.domain.effects import DueSooner
from rota.domain.primitives.ids import Id, new_id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.durations import to_seconds
from rota.domain.primitives.times.instants import format_instant
from rota.domain.primitives.value_class import value_class
from rota.domain.runs.errors import RunError
from rota.domain.runs.model import Run
from rota.domain.tasks.definition import TaskDefinition
from rota.store.alerts.backlog import trim_backlog
from rota.store.alerts.starting import Outgoing, next_try, start_runs
from rota.store.runs.reading import find_runs


@value_class(kw_only=True)
class Notice:
    """A task that is to be notified, of which event of which task."""

    task_id: Id
    task: str
    definition: TaskDefinition
    consecutive_failures: int
    last_success_at: datetime | None
    kind: AlertKind
    event: AlertEvent
    notifies: str
    since: datetime
    run_id: Id | None
    details: dict[str, Any]


_INSERT = Bulk(insert(notification), [column.name for column in notification.columns])


def notify(tx: Transaction, notices: Sequence[Notice]) -> None:
    """Insert notifications and, where the task to notify takes them, the runs that send them."""
    if not notices:
        return
    runs = find_runs(tx.connection, list({each.run_id for each in notices if each.run_id}))
    outgoing = [
        _outgoing(tx, each, None if each.run_id is None else runs.get(each.run_id))
        for each in notices
    ]
    started = start_runs(tx, outgoing)
    rows = [
        _row(tx, notice, out, next_try(started[out.id], 0, tx.now, tx.now))
        for notice, out in zip(notices, outgoing, strict=True)
    ]
    _INSERT.execute(tx.connection, rows)
    pending = [row for row in rows if row["not_before"] is not None]
    if pending:
        tx.effects.append(DueSooner(min(row["not_before"] for row in pending)))
    trim_backlog(tx, {row["task_id"] for row in pending})


def _outgoing(tx: Transaction, of: Notice, about: Run | None) -> Outgoing:
    return Outgoing(
        id=new_id(tx.now),
        notifies=of.notifies,
        event=_event(tx, of, about),
        about=None if about is None else (about.id, about.chain),
    )


def _row(tx: Transaction, notice: Notice, out: Outgoing, columns: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": out.id,
        "task_id": notice.task_id,
        "kind": notice.kind,
        "caused_by": notice.run_id,
        "notifies": notice.notifies,
        "event": json_text.dumps(out.event),
        "created_at": tx.now,
        "sent_at": None,
        "omitted": 0,
        **columns,
    }


def _event(tx: Transaction, of: Notice, run: Run | None) -> dict[str, Any]:
    """Return the event of a notice. It has no input and no result: these may be secret, and large."""
    data: dict[str, Any] = {
        "kind": of.kind,
        "task": of.task,
        "task_id": of.task_id,
        "tags": list(of.definition.tags),
        "description": of.definition.description,
        "message": None,
        "since": format_instant(of.since),
        "consecutive_failures": of.consecutive_failures,
        "last_success_at": _shown(of.last_success_at),
        "run": None if run is None else _run(run),
        "omitted": 0,
        "links": links(alerting_of(tx.connection).public_url, of.task, of.run_id),
    }
    data |= of.details
    if data["message"] is None:
        data["message"] = message_of(of.event, of.kind, data)
    return envelope(of.event, tx.now, data)


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status,
        "reason": run.reason,
        "error": None if run.error is None else _error(run.error),
        "trigger": run.trigger,
        "attempt": run.attempt,
        "scheduled_for": format_instant(run.scheduled_for),
        "started_at": _shown(run.started_at),
        "finished_at": _shown(run.finished_at),
        "lateness": None if run.lateness is None else to_seconds(run.lateness),
        "duration": None if run.duration is None else to_seconds(run.duration),
    }


def _error(error: RunError) -> dict[str, Any]:
    """Return an error as runs show it, with the reply of the target."""
    return {
        "type": error.type,
        "message": error.message,
        "traceback": error.traceback,
        "response": None if error.response is None else asdict(error.response),
        "phase": error.phase,
    }


def _shown(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)
