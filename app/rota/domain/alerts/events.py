"""The events of alerts: their types, and the envelopes that tasks are run with."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from rota.domain.alerts.rules import AlertKind
from rota.domain.primitives.times.instants import format_instant

_MOST_OF_AN_ERROR = 200


class AlertEvent(StrEnum):
    """What has happened, for the one who is notified; the event has the type `alert.<value>`."""

    FAILING = "failing"
    RECOVERED = "recovered"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    LATE = "late"
    ON_TIME = "on_time"


def event_of(kind: AlertKind, *, raised: bool) -> AlertEvent | None:
    """Return the event of an edge; None for one that nobody is notified of."""
    match kind:
        case AlertKind.FAILURES | AlertKind.FAILURE_RATE | AlertKind.NO_SUCCESS | AlertKind.NO_PING:
            return AlertEvent.FAILING if raised else AlertEvent.RECOVERED
        case AlertKind.SUCCESS:
            return AlertEvent.SUCCEEDED if raised else None
        case AlertKind.SKIPPED:
            return AlertEvent.SKIPPED if raised else None
        case AlertKind.LATE:
            return AlertEvent.LATE if raised else AlertEvent.ON_TIME
        case _:
            assert_never(kind)


def envelope(event: AlertEvent, now: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event in the envelope that all events have."""
    return {"type": f"alert.{event}", "timestamp": format_instant(now), "data": dict(data)}


def with_omitted(event: Mapping[str, Any], omitted: int) -> dict[str, Any]:
    """Return an event with the number of those before it that were left out, in its message too."""
    data = event.get("data")
    if not isinstance(data, Mapping):  # changed by hand
        return dict(event)
    others = "notification before it was" if omitted == 1 else "notifications before it were"
    message = f"{data.get('message')} ({omitted:,} {others} left out: too many could not be sent.)"
    return {**event, "data": {**data, "message": message, "omitted": omitted}}


def links(public_url: str, task: str, run_id: str | None) -> dict[str, str | None]:
    """Return the addresses of what an event is about; paths, if the service does not know its own address."""
    run = None if run_id is None else f"{public_url}/v1/runs/{run_id}"
    return {
        "task": f"{public_url}/v1/tasks/{task}",
        "run": run,
        "logs": None if run is None else f"{run}/logs",
    }


def message_of(event: AlertEvent, kind: AlertKind, data: Mapping[str, Any]) -> str:
    """Return an event in one sentence; `data` is that of the event, with `task`, `run` and `consecutive_failures`."""
    task = f"Task {data['task']!r}"
    match event:
        case AlertEvent.FAILING:
            return f"{task} {_failing(kind, data)}{_because(data)}."
        case AlertEvent.RECOVERED:
            return f"{task} has recovered: it was failing since {data['since']}."
        case AlertEvent.SUCCEEDED:
            return f"{task} has succeeded."
        case AlertEvent.SKIPPED:
            reason = (data.get("run") or {}).get("reason")
            return f"{task} has skipped a run{f' ({reason})' if reason else ''}."
        case AlertEvent.LATE:
            return f"{task} is late: a run has not started in time."
        case AlertEvent.ON_TIME:
            return f"{task} starts in time again: it was late since {data['since']}."
        case _:
            assert_never(event)


def _failing(kind: AlertKind, data: Mapping[str, Any]) -> str:
    if kind is AlertKind.FAILURE_RATE:
        return f"has failed {data.get('failed')} of its latest {data.get('of')} runs"
    if kind in {AlertKind.NO_SUCCESS, AlertKind.NO_PING}:
        return "has not succeeded in time"
    times = data["consecutive_failures"]
    return "has failed" if times == 1 else f"has failed {times} times in a row"


def _because(data: Mapping[str, Any]) -> str:
    run = data.get("run") or {}
    error = run.get("error")
    if error is None:
        return "" if run.get("reason") is None else f" ({run['reason']})"
    text = " ".join(f"{error['type']}: {error['message']}".split()).rstrip(".")
    return f": {text if len(text) <= _MOST_OF_AN_ERROR else text[: _MOST_OF_AN_ERROR - 1] + '…'}"
