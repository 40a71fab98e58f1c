"""Runs that led to each other, and groups of failures."""

from datetime import datetime
from typing import ClassVar

from rota.client.models.base import Model


class LineageRun(Model):
    """A run of the graph."""

    schema_name: ClassVar[str] = "NodeOut"

    id: str
    task: str
    trigger: str
    status: str
    reason: str | None
    chain_id: str
    scheduled_for: datetime
    started_at: datetime | None
    finished_at: datetime | None


class LineageLink(Model):
    """A link: one run has led to another."""

    schema_name: ClassVar[str] = "LinkOut"

    fed_by: str
    run: str
    kind: str


class Lineage(Model):
    """Runs that are linked with a run, directly or by others."""

    schema_name: ClassVar[str] = "LineageOut"

    chain_id: str
    runs: tuple[LineageRun, ...]
    links: tuple[LineageLink, ...]
    is_complete: bool


class TaskFailures(Model):
    """A task, and how many of its runs have failed so."""

    schema_name: ClassVar[str] = "TaskFailuresOut"

    task: str
    count: int


class FailureGroup(Model):
    """Failures with something in common; what they are not grouped by is null."""

    schema_name: ClassVar[str] = "FailureGroupOut"

    type: str | None
    message: str | None
    task: str | None
    reason: str | None
    count: int
    first_seen: datetime
    last_seen: datetime
    example: str
    tasks: tuple[TaskFailures, ...]
    tasks_total: int


class FailureGroups(Model):
    """Groups of failures, the largest first."""

    schema_name: ClassVar[str] = "FailureGroupsOut"

    items: tuple[FailureGroup, ...]
    groups: int
    failures: int
    is_complete: bool
    finished_from: datetime | None
