"""What a registration did, or would do."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from rota.client.models.base import Model
from rota.client.models.tasks import Task


class ScheduleWarning(Model):
    """A possible mistake. The task is registered all the same."""

    schema_name: ClassVar[str] = "WarningOut"

    code: str
    message: str
    at: datetime | None = None


class Registration(Task):
    """A task, and what a registration did to it."""

    schema_name: ClassVar[str] = "RegistrationOut"

    outcome: str
    applied: str
    differs: bool = False
    upcoming: tuple[datetime, ...]
    warnings: tuple[ScheduleWarning, ...]


class ChangedField(Model):
    """A field of the task that the request changes."""

    schema_name: ClassVar[str] = "ChangedFieldOut"

    path: str
    before: Any = None
    after: Any = None


class DiffTime(Model):
    """A fire time that differs."""

    schema_name: ClassVar[str] = "DiffTimeOut"

    at: datetime
    local: str
    dst: str | None


class MovedTime(Model):
    """A fire time that comes at another time."""

    schema_name: ClassVar[str] = "MovedTimeOut"

    from_: DiffTime = Field(alias="from")
    to: DiffTime


class DiffCounts(Model):
    """How many fire times differ up to `compared_until`, those that the lists leave out included."""

    schema_name: ClassVar[str] = "DiffCountsOut"

    appear: int
    vanish: int
    move: int


class FireTimes(Model):
    """The fire times that run, as the task is and as it would be: what differs."""

    schema_name: ClassVar[str] = "FireTimesOut"

    from_: datetime = Field(alias="from")
    until: datetime
    compared_until: datetime
    appear: tuple[DiffTime, ...]
    vanish: tuple[DiffTime, ...]
    move: tuple[MovedTime, ...]
    counts: DiffCounts
    truncated: bool


class DryRun(Model):
    """What a registration would do. Nothing was written."""

    schema_name: ClassVar[str] = "DryRunOut"

    name: str
    result: str
    applied: str
    status: str
    next_fire_at: datetime | None
    changes: tuple[ChangedField, ...]
    changes_omitted: int
    fire_times: FireTimes | None
    warnings: tuple[ScheduleWarning, ...]


class BatchItem(Model):
    """What a batch did to a task, and what is ahead of it."""

    schema_name: ClassVar[str] = "BatchItemOut"

    name: str
    outcome: str
    next_fire_at: datetime | None
    #: None beyond the first 20 tasks of a batch.
    upcoming: tuple[datetime, ...] | None
    warnings: tuple[ScheduleWarning, ...]


class Batch(Model):
    """What a batch did: how many tasks have each outcome, the names of all, and what is ahead of them.

    `items` has the first 20, and of the others those with warnings.
    """

    schema_name: ClassVar[str] = "BatchOut"

    created: int
    updated: int
    unchanged: int
    kept: int
    replaced: int
    names: tuple[str, ...]
    items: tuple[BatchItem, ...] = ()


class BatchDryRun(Model):
    """What a batch would do: how many tasks would have each outcome. Nothing was written."""

    schema_name: ClassVar[str] = "BatchDryRunOut"

    created: int
    updated: int
    unchanged: int
    kept: int
    replaced: int
    names: tuple[str, ...]
    items: tuple[DryRun, ...]
    items_omitted: int
