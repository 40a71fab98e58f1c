"""What lists are filtered by. Values of one filter are OR-ed, filters are AND-ed; None: not filtered by it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

Texts = str | Sequence[str] | None
#: Seconds, a text such as "15m", or a timedelta.
Duration = float | str | timedelta
Fields = Mapping[str, Any]

OnConflict = Literal["reject", "keep", "update", "replace"]
CatchUp = Literal["none", "once", "all"]
TaskVerb = Literal["pause", "resume", "cancel", "run", "delete"]


class TaskFilters(TypedDict, total=False):
    """Which tasks to list. `page_size`: items of one request, at most 200."""

    status: Texts
    tag: Texts
    all_tags: Texts
    handler: Texts
    queue: Texts
    name_prefix: str | None
    failing: bool | None
    total: bool | None
    latest_runs: int | None
    page_size: int | None


class RunFiltersOfTask(TypedDict, total=False):
    """Which runs of a task to list."""

    status: Texts
    reason: Texts
    error: Texts
    error_text: str | None
    trigger: Texts
    backfill_id: Texts
    chain_id: Texts
    scheduled_from: datetime | str | None
    scheduled_to: datetime | str | None
    finished_from: datetime | str | None
    finished_to: datetime | str | None
    total: bool | None
    page_size: int | None


class RunFilters(RunFiltersOfTask, total=False):
    """Which runs to list."""

    task: Texts
    tag: Texts
    all_tags: Texts


class GroupFilters(RunFilters, total=False):
    """Which failures to group."""

    by: Texts
    window: str | None


class AuditFilters(TypedDict, total=False):
    """Which entries of the audit log to list."""

    task: Texts
    principal: Texts
    action: Texts
    from_: datetime | str | None
    to: datetime | str | None
    page_size: int | None
