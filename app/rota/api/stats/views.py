"""Reports as JSON."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rota.api.http.formats import show_instant, show_seconds
from rota.domain.runs.status import RunStatus
from rota.domain.stats.report import Completeness, Quantiles, Report
from rota.domain.tasks.task import Task


def show_task_stats(report: Report, task: Task, last_failure_at: datetime | None) -> dict[str, Any]:
    """Return the statistics of a task as JSON."""
    return {
        "task": task.name,
        **show_stats(report),
        "last_success_at": show_instant(task.last_success_at),
        "last_failure_at": show_instant(last_failure_at),
        "consecutive_failures": task.consecutive_failures,
    }


def show_stats(report: Report) -> dict[str, Any]:
    """Return statistics as JSON."""
    by_status = report.by_status()
    return {
        "from": show_instant(report.window.begins_at),
        "to": show_instant(report.window.ends_at),
        "complete_since": show_instant(report.complete_since),
        "exact": report.exact,
        "runs": {
            "total": by_status.total(),
            "by_status": {str(status): by_status[status] for status in RunStatus},
            "by_reason": dict(sorted(report.by_reason().items())),
        },
        "success_rate": _rate(report.success_rate()),
        "duration": _quantiles(report.duration),
        "lateness": _quantiles(report.lateness),
        "completeness": _completeness(report.completeness()),
        "last_success_at": show_instant(report.last_end(RunStatus.SUCCEEDED)),
        "last_failure_at": show_instant(report.last_end(RunStatus.FAILED)),
    }


def _completeness(found: Completeness) -> dict[str, Any]:
    ended = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)
    return {
        "due": found.due,
        "ran": {"total": _total(found.ran)} | {str(each): found.ran.get(each, 0) for each in ended},
        "skipped": _by_reason(found.skipped),
        "missed": _by_reason(found.missed),
        "cancelled": found.cancelled,
        "pending": {"total": _total(found.pending), "by_cause": _sorted(found.pending)},
        "ratio": _rate(found.ratio),
    }


def _by_reason(numbers: Mapping[str, int]) -> dict[str, Any]:
    return {"total": _total(numbers), "by_reason": _sorted(numbers)}


def _sorted(numbers: Mapping[str, int]) -> dict[str, int]:
    return {str(key): number for key, number in sorted(numbers.items())}


def _total(numbers: Mapping[str, int]) -> int:
    return sum(numbers.values())


def _rate(part: float | None) -> float | None:
    return None if part is None else round(part, 6)


def _quantiles(found: Quantiles) -> dict[str, Any]:
    return {
        "count": found.number,
        "p50": show_seconds(found.p50),
        "p95": show_seconds(found.p95),
        "p99": show_seconds(found.p99),
        "sampled": found.sampled,
    }
