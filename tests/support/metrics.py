"""Metrics of which every family has a series, so that names and labels can be compared with documents."""

from collections.abc import Mapping

from prometheus_client.core import Metric

from rota.metrics import Metrics
from rota.metrics.stored import Measures, QueueMeasure, TaskMeasure

TASK = TaskMeasure(
    id="1", name="nightly-import", last_success_at=1_700_000_000.0, consecutive_failures=2
)
MEASURES = Measures(
    tasks=[TASK],
    tasks_by_status={"active": 1},
    queues=[QueueMeasure(name="default", depth={"queued": 3}, oldest=1.5)],
    overdue=0.5,
    alerts_by_kind={"failures": 1},
    notifications=1,
    holds=1,
    database_bytes=4_096,
    wal_bytes=512,
)


def filled_metrics() -> Metrics:
    """Return metrics with a value in each family."""
    made = Metrics()
    made.attempt_ended("succeeded", 1)
    made.run_ended(TASK.id, "skipped", "misfire", "schedule", 2)
    made.circuits.set_function(lambda: ["https://example.com"])
    made.stored.set_function(lambda: MEASURES)
    made.refused.labels("401").inc()
    made.notifications_given_up.inc()
    made.tzdata.labels("2026f").set(1)
    made.build.labels("1.0", "3.11.7", "sqlite 3.45.1").set(1)
    return made


def families() -> list[Metric]:
    """Return the families that are exposed, each with a series."""
    found = filled_metrics().registry.collect()
    return [each for each in found if not each.name.endswith("_created")]


def labels_by_name() -> Mapping[str, frozenset[str]]:
    """Return the labels of the series of each name, as queries use it: `…_total`, `…_bucket`, `…_count`."""
    return {
        sample.name: frozenset(sample.labels) for family in families() for sample in family.samples
    }


def name_of(family: Metric) -> str:
    """Return the name of a family as documents use it."""
    return f"{family.name}_total" if family.type == "counter" else family.name
