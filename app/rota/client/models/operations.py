"""Holds, calendars, handlers, queues, alerts and the state of the service."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from rota.client.models.base import Model


class HoldSelector(Model):
    """Which tasks are held, as it was sent."""

    schema_name: ClassVar[str] = "HoldSelectorOut"

    tags: tuple[str, ...] = ()
    name_prefix: str = ""
    queues: tuple[str, ...] = ()
    all: bool = False


class Hold(Model):
    """A hold."""

    schema_name: ClassVar[str] = "HoldOut"

    name: str
    from_: datetime = Field(alias="from")
    until: datetime | None
    selector: HoldSelector
    within: tuple[str, ...] | None
    reason: str | None
    fire_times: str
    status: str
    tasks: int | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class Holidays(Model):
    """The country, or the part of it, whose holidays these are."""

    schema_name: ClassVar[str] = "HolidaysOut"

    country: str
    subdivision: str | None


class CalendarSummary(Model):
    """A calendar without what it was declared as."""

    schema_name: ClassVar[str] = "CalendarSummary"

    name: str
    source: str
    description: str | None
    next: tuple[str, ...]
    version: int
    created_at: datetime
    updated_at: datetime
    updated_by: str


class Calendar(CalendarSummary):
    """A calendar, as it was declared."""

    schema_name: ClassVar[str] = "CalendarOut"

    dates: tuple[str, ...] | None
    icalendar: str | None
    holidays: Holidays | None
    tasks: int


class Handler(Model):
    """A handler that tasks can name."""

    schema_name: ClassVar[str] = "HandlerOut"

    name: str
    description: str
    input_schema: dict[str, Any] | None
    timeout: float | None
    isolation: str
    updated_at: datetime | None


class Queue(Model):
    """A queue in its present state, with its unfinished runs counted by status."""

    schema_name: ClassVar[str] = "QueueOut"

    name: str
    concurrency: int | None
    paused: bool
    queued: int
    running: int
    blocked: int
    oldest_queued_at: datetime | None
    ended: int | None = None
    updated_at: datetime | None
    updated_by: str | None


class Alert(Model):
    """An alert that is raised: it has not recovered yet."""

    schema_name: ClassVar[str] = "AlertOut"

    task: str
    kind: str
    raised_at: datetime
    run: str | None


class Notification(Model):
    """An event for a task. It is sent once a run with it has succeeded, and tried again until then, or given up."""

    schema_name: ClassVar[str] = "NotificationOut"

    id: str
    kind: str
    notifies: str
    event: dict[str, Any] | None
    run: str | None
    attempts: int
    not_before: datetime | None
    created_at: datetime
    sent_at: datetime | None
    given_up_at: datetime | None
    omitted: int


class Replica(Model):
    """A process of the service."""

    schema_name: ClassVar[str] = "ReplicaOut"

    id: str
    host: str
    pid: int
    self: bool
    live: bool
    started_at: datetime
    lease_expires_at: datetime
    tzdata: str | None
    handlers: tuple[str, ...]


class Health(Model):
    """Whether the process runs."""

    schema_name: ClassVar[str] = "HealthOut"

    status: str


class Readiness(Model):
    """Whether the service can serve; with a key that is not limited to some tasks also details."""

    schema_name: ClassVar[str] = "ReadyOut"

    status: str
    firing_pass_age: float | None = None
    tzdata: str | None = None
    warnings: tuple[str, ...] | None = ()
