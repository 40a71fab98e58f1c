"""Metrics that are read from the database when they are asked for: they are the same whichever replica is asked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rota.metrics.collectors import Ends


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMeasure:
    """One of the tasks that have series of their own; the time is in seconds since 1970."""

    id: str
    name: str
    last_success_at: float | None
    consecutive_failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMeasure:
    """The unfinished runs of a queue by status, and for how many seconds the oldest that could start has waited."""

    name: str
    depth: Mapping[str, int] = field(default_factory=dict)
    oldest: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What was read from the database at one moment."""

    tasks: Sequence[TaskMeasure]
    tasks_by_status: Mapping[str, int]
    queues: Sequence[QueueMeasure]
    #: For how many seconds the work that was due first has been due; 0: nothing is.
    overdue: float
    alerts_by_kind: Mapping[str, int]
    notifications: int
    #: How many holds last.
    holds: int
    database_bytes: int
    #: None: the database does not say.
    wal_bytes: int | None


_GAUGES: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "success": (
        "rota_task_last_success_timestamp_seconds",
        "When a run of the task succeeded last; 0: never.",
        ("task",),
    ),
    "failures": (
        "rota_task_consecutive_failures",
        "How many runs of the task in a row have failed.",
        ("task",),
    ),
    "tasks": ("rota_tasks", "Tasks that are not deleted, by status.", ("status",)),
    "depth": ("rota_queue_depth", "Unfinished runs, by queue and status.", ("queue", "status")),
    "oldest": (
        "rota_queue_oldest_seconds",
        "For how long the oldest run that could start has been waiting, by queue.",
        ("queue",),
    ),
    "overdue": (
        "rota_overdue_seconds",
        (
            "For how long the work that was due first has been due without having become a queued run. What waited "
            "for a hold counts from its end."
        ),
        (),
    ),
    "alerts": ("rota_alerts_raised", "Alerts that are raised, by kind.", ("kind",)),
    "notifications": (
        "rota_notifications_pending",
        "Notifications that are to be tried again, since a run that was to send them did not succeed.",
        (),
    ),
    "holds": ("rota_holds_active", "Holds that last.", ()),
    "database": ("rota_database_size_bytes", "The size of the database.", ()),
    "wal": ("rota_wal_size_bytes", "The size of SQLite's write-ahead log.", ()),
    "up": (
        "rota_database_up",
        "Whether the database answered when the metrics were read from it last.",
        (),
    ),
}
_RUNS = (
    "rota_task_runs_total",
    "Runs of the task whose end this process has stored, by status and reason.",
    None,
    ("task", "status", "reason"),
)


class StoredMetrics(Collector):
    """The families of what is read. `read` returns None if the database does not answer."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._read: Callable[[], Measures | None] | None = None

    def set_function(self, read: Callable[[], Measures | None]) -> None:
        """Set the function; it is called in any thread."""
        self._read = read

    def collect(self) -> Iterator[Metric]:
        runs = CounterMetricFamily(*_RUNS)
        gauges = {
            key: GaugeMetricFamily(name, text, labels=labels)
            for key, (name, text, labels) in _GAUGES.items()
        }
        if self._read is not None:
            found = self._read()
            gauges["up"].add_metric((), found is not None)
            if found is not None:
                _fill(gauges, found)
                self._fill_runs(runs, found.tasks)
        yield from gauges.values()
        yield runs

    def _fill_runs(self, family: CounterMetricFamily, tasks: Sequence[TaskMeasure]) -> None:
        names = {each.id: each.name for each in tasks}
        for id, ends in self._ends.show(names).items():
            for (status, reason), number in ends.items():
                family.add_metric((names[id], status, reason), number)


def _fill(gauges: Mapping[str, GaugeMetricFamily], found: Measures) -> None:
    for task in found.tasks:
        gauges["success"].add_metric((task.name,), task.last_success_at or 0)
        gauges["failures"].add_metric((task.name,), task.consecutive_failures)
    for queue in found.queues:
        for status, number in queue.depth.items():
            gauges["depth"].add_metric((queue.name, status), number)
        gauges["oldest"].add_metric((queue.name,), queue.oldest)
    for key, by in (("tasks", found.tasks_by_status), ("alerts", found.alerts_by_kind)):
        for label, number in by.items():
            gauges[key].add_metric((label,), number)
    gauges["overdue"].add_metric((), found.overdue)
    gauges["notifications"].add_metric((), found.notifications)
    gauges["holds"].add_metric((), found.holds)
    gauges["database"].add_metric((), found.database_bytes)
    if found.wal_bytes is not None:
        gauges["wal"].add_metric((), found.wal_bytes)
