"""Backfills that are begun without the API."""

from datetime import datetime
from typing import Any

from rota.domain.backfills import Backfill, Span, survey
from rota.domain.schedules.base import Anchor
from rota.store.scheduling.backfill import BeginBackfill
from tests.support.factories import MINUTE, NOON, Client


def begin(client: Client, **fields: Any) -> Backfill:
    """Begin a backfill of the task `t`, by default of the first ten minutes after noon."""
    return client.do(beginning(client, **fields))


def beginning(
    client: Client,
    *,
    name: str = "t",
    starts_at: datetime = NOON,
    minutes: int = 10,
    **fields: Any,
) -> BeginBackfill:
    """Return the command that begins one, as the API makes it."""
    task = client.task(name)
    span = Span(
        schedule=task.definition.schedule,
        anchor=Anchor(task.anchored_at, task.name),
        starts_at=starts_at,
        ends_at=starts_at + minutes * MINUTE,
    )
    found = survey(span, newest_first=fields.get("newest_first", False))
    defaults = {"expected": (task.id, task.generation), "by": "me"}
    return BeginBackfill(
        task=name, span=span, runs=found.runs, first=found.first, **defaults | fields
    )
