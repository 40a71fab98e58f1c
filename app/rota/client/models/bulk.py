"""Bulk operations on runs."""

from datetime import datetime
from typing import Any, ClassVar

from rota.client.models.base import Model


class ForeseenRefusal(Model):
    """Runs that would be refused, and why: the problem that the verb alone would return."""

    schema_name: ClassVar[str] = "ForeseenOut"

    type: str
    detail: str
    runs: int


class BulkResults(Model):
    """How many runs have come to what."""

    schema_name: ClassVar[str] = "ResultsOut"

    pending: int
    done: int
    changed: int
    refused: int


class BulkItem(Model):
    """The result of one run."""

    schema_name: ClassVar[str] = "BulkItemOut"

    run: str
    task: str | None
    result: str
    type: str | None
    detail: str | None
    new_run: str | None


class BulkRuns(Model):
    """A bulk operation in its present state."""

    schema_name: ClassVar[str] = "BulkRunsOut"

    id: str
    verb: str
    status: str
    reason: str | None = None
    selector: dict[str, Any]
    input: Any
    input_omitted: bool = False
    max_concurrent: int | None
    runs: int
    truncated: bool
    statuses: dict[str, int]
    foreseen: tuple[ForeseenRefusal, ...]
    results: BulkResults
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    confirmed_at: datetime | None
    confirmed_by: str | None
    finished_at: datetime | None
    items: tuple[BulkItem, ...] = ()
