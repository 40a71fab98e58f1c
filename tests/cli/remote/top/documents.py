"""What a service may answer, for tests of what is drawn of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rota.cli.remote.top.snapshot import Snapshot

NOW = datetime(2026, 11, 30, 9, 0, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    """Return a time so many seconds from now, as the API writes it."""
    text = (NOW + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def run(task: str, **fields: Any) -> dict[str, Any]:
    """Return a run that has been running for a minute."""
    return {
        "id": f"01a229c6-d50b-760a-9474-{task[:12]:0>12}",
        "task": task,
        "queue": "default",
        "scheduled_for": at(-60),
        "started_at": at(-60),
        "finished_at": None,
        "not_before": None,
        "waiting_on": [],
        "progress": None,
        "attempt": 1,
        "reason": None,
        "error": None,
        "cancel_requested_at": None,
    } | fields


def failure(task: str, message: str, **fields: Any) -> dict[str, Any]:
    """Return a run that failed ten seconds ago."""
    error = {"type": "fail", "message": message}
    return run(task, finished_at=at(-10), reason="fatal", error=error, **fields)


def coming(task: str, seconds: float, *, held: bool = False) -> dict[str, Any]:
    """Return a fire time in so many seconds."""
    return {"task": task, "at": at(seconds), "queue": "default", "held": held}


def queue(name: str, **fields: Any) -> dict[str, Any]:
    """Return a queue in which nothing is."""
    counts = {"running": 0, "queued": 0, "blocked": 0}
    return {
        "name": name,
        "concurrency": None,
        "paused": False,
        "oldest_queued_at": None,
        **counts,
    } | fields


def page(items: Sequence[Any] = (), **fields: Any) -> dict[str, Any]:
    """Return a page with all items."""
    return {"items": list(items), "next_cursor": None} | fields


def agenda(items: Sequence[Any] = (), **fields: Any) -> dict[str, Any]:
    """Return fire times with nothing left out."""
    week = at(7 * 86_400)
    return {"items": list(items), "until": week, "complete_until": week} | fields


def snapshot(**lists: Any) -> Snapshot:
    """Return a snapshot of a service in which nothing is but what is given."""
    empty = {name: page() for name in ("running", "waiting", "failed", "queues", "alerts", "holds")}
    replicas = {"items": [{"live": True}]}
    ready = lists.pop("ready", {"status": "ok", "warnings": []})
    return Snapshot(NOW, ready, {"replicas": replicas, "upcoming": agenda(), **empty, **lists})
