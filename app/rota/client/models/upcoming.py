"""What runs next."""

from datetime import datetime
from typing import ClassVar

from rota.client.models.base import Model


class ComingRun(Model):
    """A fire time of a task."""

    schema_name: ClassVar[str] = "ComingRunOut"

    at: datetime
    local: str
    task: str
    handler: str
    queue: str
    tags: tuple[str, ...]
    held: bool


class Agenda(Model):
    """What runs next of several tasks, by time, then by name."""

    schema_name: ClassVar[str] = "AgendaOut"

    items: tuple[ComingRun, ...]
    until: datetime
    complete_until: datetime


class ComingHour(Model):
    """An hour."""

    schema_name: ClassVar[str] = "HourOut"

    at: datetime
    runs: int
    seconds: float


class ComingHours(Model):
    """How much is due in each hour."""

    schema_name: ClassVar[str] = "HoursOut"

    items: tuple[ComingHour, ...]
    tasks: int
    exact: bool
