"""Statistics."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from rota.client.models.base import Model


class RunCounts(Model):
    """Runs whose `scheduled_for` is in the window, whatever triggered them."""

    schema_name: ClassVar[str] = "RunCountsOut"

    total: int
    by_status: dict[str, int]
    by_reason: dict[str, int]


class Quantiles(Model):
    """Seconds that runs took, or were late: by nearest rank, so that each is one that occurred."""

    schema_name: ClassVar[str] = "QuantilesOut"

    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    sampled: bool = False


class Ran(Model):
    """Fire times that ran, by how they ended."""

    schema_name: ClassVar[str] = "RanOut"

    total: int
    succeeded: int
    failed: int
    cancelled: int


class NotRun(Model):
    """Fire times that did not run."""

    schema_name: ClassVar[str] = "NotRunOut"

    total: int
    by_reason: dict[str, int]


class Pending(Model):
    """Fire times that have come, whose outcome is not known yet."""

    schema_name: ClassVar[str] = "PendingOut"

    total: int
    by_cause: dict[str, int]


class Completeness(Model):
    """What became of the fire times of the schedule that lie in the window: each is counted once."""

    schema_name: ClassVar[str] = "CompletenessOut"

    due: int
    ran: Ran
    skipped: NotRun
    missed: NotRun
    cancelled: int
    pending: Pending
    ratio: float | None


class StatsReport(Model):
    """Statistics of a window."""

    schema_name: ClassVar[str] = "StatsOut"

    from_: datetime = Field(alias="from")
    to: datetime
    complete_since: datetime | None
    exact: bool
    runs: RunCounts
    success_rate: float | None
    duration: Quantiles
    lateness: Quantiles
    completeness: Completeness
    last_success_at: datetime | None
    last_failure_at: datetime | None


class TaskStats(StatsReport):
    """Statistics of a task."""

    schema_name: ClassVar[str] = "TaskStatsOut"

    task: str
    consecutive_failures: int


class EndedHour(Model):
    """The runs that ended in an hour; skipped ones do not count."""

    schema_name: ClassVar[str] = "EndedOut"

    at: datetime
    succeeded: int
    failed: int
    cancelled: int
    lateness: float | None
    lateness_max: float | None
