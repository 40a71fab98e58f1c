"""Explanations, previews and backfills."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from rota.client.models.base import Model
from rota.client.models.registrations import ScheduleWarning
from rota.client.models.runs import RunSummary


class Explanation(Model):
    """Why a task is not running, did not run, or will not run."""

    schema_name: ClassVar[str] = "ExplanationOut"

    at: datetime
    expected: bool
    verdict: str
    reason: str | None
    message: str
    run: RunSummary | None
    warnings: tuple[ScheduleWarning, ...]


class FireTime(Model):
    """When a schedule fires."""

    schema_name: ClassVar[str] = "FireTimeOut"

    at: datetime
    local: str


class Preview(Model):
    """The fire times of a schedule, and its description."""

    schema_name: ClassVar[str] = "PreviewOut"

    fire_times: tuple[FireTime, ...]
    description: str
    warnings: tuple[ScheduleWarning, ...]


class Backfill(Model):
    """A backfill in its present state."""

    schema_name: ClassVar[str] = "BackfillOut"

    from_: datetime = Field(alias="from")
    to: datetime
    id: str
    task: str
    order: str
    max_concurrent: int
    spacing: float
    runs: int
    made: int
    next_at: datetime | None
    created_at: datetime
    created_by: str
    finished_at: datetime | None


class BegunBackfill(Model):
    """A backfill that has begun, or (`backfill_id` null) what one would run."""

    schema_name: ClassVar[str] = "BegunOut"

    backfill_id: str | None
    runs: int
    fire_times: tuple[datetime, ...] = ()
