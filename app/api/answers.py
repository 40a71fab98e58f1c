"""What goes out over HTTP, described for the docs page."""

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

from app.api.schemas import EXAMPLE
from app.domain.explanations import VERDICTS, Verdict
from app.domain.instants import Instant
from app.domain.runs import AttemptOutcome, RunStatus, Trigger
from app.domain.schedules import Schedule, Unreadable
from app.domain.tasks import Applied, Registered, TaskDefinition, TaskStatus


class LastRunOut(BaseModel):
    """The run that finished last."""

    id: str
    status: RunStatus
    scheduled_for: Instant
    finished_at: Instant | None


class TaskOut(TaskDefinition):
    """A task as it stands."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**EXAMPLE, "id": "01a20bd8-3c05-7058-ab7c-c61199886531"}]}
    )

    schedule: Schedule | Unreadable  # type: ignore[assignment]  # what is stored may be from another version
    unreadable: list[str] = Field(
        [], description="`input`, where it is null because what is stored was changed past Rota."
    )
    id: str
    name: str
    status: TaskStatus
    status_reason: str | None
    status_changed_at: Instant
    status_changed_by: str
    generation: int
    next_fire_at: Instant | None
    last_run: LastRunOut | None
    last_success_at: Instant | None
    consecutive_failures: int
    created_at: Instant
    updated_at: Instant


class WarningOut(BaseModel):
    """Something that may not be meant. The task is registered all the same."""

    code: str = Field(
        description="`both_day_fields`, `dst_fold`, `dst_gap`, `every_second`, `excluded`, `handler_missing`, "
        "`in_the_past`, `literal_template`, `month_end`, `never_fires`, `no_retry`, `predecessor_cancelled`, "
        "`predecessor_completed`, `predecessor_missing`, `predecessor_paused`, `reversed_offset`, "
        "`timeout_longer_than_interval`, `too_costly`, "
        "`uneven_interval`, `unplannable`.",
        examples=["dst_gap"],
    )
    message: str = Field(description="What happens, and what to do about it.")
    at: Instant | None = Field(None, description="When it happens first.")


class FireTimeOut(BaseModel):
    """When a schedule fires."""

    at: Instant
    local: str = Field(
        description="The same on the clock of the schedule's zone, with its offset from UTC.",
        examples=["2026-11-25T09:00:00.000+01:00"],
    )


class PreviewOut(BaseModel):
    """What a schedule means."""

    fire_times: list[FireTimeOut] = Field(
        description="The next ones that run; those that are left out are told by `warnings`."
    )
    description: str = Field(examples=["At 09:00 from Monday to Friday, Europe/Berlin"])
    warnings: list[WarningOut]


class RegistrationOut(TaskOut):
    """A task, and what a registration did to it."""

    outcome: Registered
    applied: Applied
    differs: bool = Field(False, description="With `kept`: whether the definition sent is another.")
    upcoming: list[Instant] = Field(description="The next fire times.")
    warnings: list[WarningOut]


class TasksOut(BaseModel):
    """A page of tasks, by name."""

    items: list[TaskOut]
    next_cursor: str | None


class BatchOut(BaseModel):
    """What a batch did."""

    created: int
    updated: int
    unchanged: int
    kept: int
    replaced: int
    names: list[str]


class UpcomingOut(BaseModel):
    """The next fire times of a task, also of a paused one."""

    items: list[Instant]


class ErrorResponseOut(BaseModel):
    """What a target answered to a call that failed."""

    status: int = Field(examples=[503])
    headers: dict[str, str] = Field(
        description="Chosen headers, never `Set-Cookie`.",
        examples=[{"content-type": "text/plain", "retry-after": "30"}],
    )
    body: str | None = Field(
        description="The first 2 KiB as text; null if it is empty, or no text.",
        examples=["The database is being upgraded."],
    )
    truncated: bool = Field(description="Whether there was more of the body.", examples=[False])


class ErrorOut(BaseModel):
    """What went wrong in an attempt."""

    type: str = Field(examples=["http.status"])
    message: str = Field(examples=["503 from app.example.com"])
    traceback: str | None
    response: ErrorResponseOut | None = Field(
        description="Of an `http` task whose target answered: what it said."
    )


class ProgressOut(BaseModel):
    """How far a run says it is."""

    fraction: float | None
    message: str | None


class AttemptOut(BaseModel):
    """One try of a run; `outcome` is null while it is under way."""

    attempt: int
    outcome: AttemptOutcome | None
    counted: bool
    started_at: Instant
    finished_at: Instant | None
    error: ErrorOut | None


class RunSummaryOut(BaseModel):
    """A run as lists show it."""

    id: str
    task: str
    task_generation: int
    trigger: Trigger
    rerun_of: str | None
    backfill_id: str | None
    scheduled_for: Instant
    scheduled_until: Instant | None = Field(description="With `count`: the span of a gap.")
    count: int
    status: RunStatus
    reason: str | None
    waiting_on: list[str]
    queue: str
    priority: int
    not_before: Instant | None
    input: Any
    secret_input: bool = Field(False, description="Its input is kept secret: `input` is null.")
    result: Any
    truncated: bool = Field(
        False,
        description="A list left `input` or `result` out (null), as it is large: read the run itself.",
    )
    unreadable: list[str] = Field(
        [],
        description="Members that are null because what is stored cannot be read: it was changed past Rota.",
    )
    error: ErrorOut | None
    progress: ProgressOut | None
    attempt: int
    failures: int
    cancel_requested_at: Instant | None
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    lateness: float | None = Field(
        description="Seconds from the fire time to the start of the first attempt (`started_at`: of the last one)."
    )
    duration: float | None = Field(
        description="Seconds that the last attempt took, by the clock on the wall; 0 if that was set back."
    )


class RunOut(RunSummaryOut):
    """A run with its attempts."""

    attempts: list[AttemptOut]


class RunsOut(BaseModel):
    """A page of runs, newest `scheduled_for` first."""

    items: list[RunSummaryOut]
    next_cursor: str | None


class ExplanationOut(BaseModel):
    """Why a task is not running, did not run, or will not run."""

    at: Instant = Field(description="The time asked about; now, if none was given.")
    expected: bool = Field(
        description="The schedule has a fire time then and means it to run; of now: a run is unfinished or due."
    )
    verdict: Verdict = Field(description=VERDICTS)
    reason: str | None = Field(
        description="What narrows the verdict down: that of the run, or what it waits for.",
        examples=["overlap"],
    )
    message: str = Field(description="The answer in words, with what to do.")
    run: RunSummaryOut | None = Field(description="The run that answers the question.")
    warnings: list[WarningOut]


class LogLineOut(BaseModel):
    """A line that a handler printed (`stdout`, `stderr`) or logged (`debug` to `error`)."""

    attempt: int
    line: int
    at: Instant
    level: str
    message: str


class LogsOut(BaseModel):
    """A page of log lines, in the order in which they were said."""

    items: list[LogLineOut]
    next_cursor: str | None


class KvEntryOut(BaseModel):
    """An entry of a task's key-value table."""

    key: str
    value: Any = None
    encoding: str | None = Field(None, description="`base64` where the value is not JSON.")
    content_type: str | None = Field(None, description="Where the value is not JSON, or left out.")
    size: int | None = Field(None, description="Bytes of the value, where it is left out.")
    unreadable: list[str] = Field(
        [],
        description="`value`, where it is null because what is stored cannot be read: its key is missing, or it was "
        "changed past Rota.",
    )
    version: int
    updated_at: Instant
    updated_by: str
    attempt: int | None = Field(None, description="Where a run wrote it: which attempt.")
    expires_at: Instant | None


class KvEntriesOut(BaseModel):
    """A page of entries, by key; one snapshot."""

    items: list[KvEntryOut]
    next_cursor: str | None
    count: int | None = Field(None, description="With `include=count`: of all pages together.")
    bytes: int | None = Field(None, description="With `include=count`: of all values together.")
    revision: int | None = Field(None, description="With `at`: the revision that the table had.")
    incomplete: bool | None = Field(
        None, description="With `at`: the history does not reach back for all that there was."
    )
    missing: list[str] | None = Field(
        None,
        description="With `at`: keys of this page of which nobody knows any more what they were.",
    )


class KvTransactionOut(BaseModel):
    """The entries that the operations named, as they are now; those that are not there are left out."""

    items: list[KvEntryOut]


class KvDeletedOut(BaseModel):
    """How many entries were removed."""

    deleted: int


class KvVersionOut(KvEntryOut):
    """What an entry was from a version on."""

    deleted: bool = Field(description="It was removed; there is no value.")
    expired: bool = Field(description="It is still in the table, but has expired.")


class KvVersionsOut(BaseModel):
    """A page of the versions of an entry that are kept, the newest first."""

    items: list[KvVersionOut]
    next_cursor: str | None
    incomplete: bool = Field(description="There may be older ones that are forgotten.")


class KvRevertedOut(BaseModel):
    """What was set and removed to make the table as it was."""

    dry_run: bool
    set: list[str]
    deleted: list[str]
    reverted_to: int = Field(description="The table is as it was at this revision.")
    previous_revision: int = Field(description="Revert to it to undo this.")
    revision: int = Field(description="The revision that the table has now.")


class KvImportedOut(BaseModel):
    """What an import did."""

    set: int = Field(description="Entries that were written.")
    unchanged: int = Field(description="Entries that were there already, just so.")
    expired: int = Field(description="Entries that have expired since they were exported.")
    deleted: int = Field(description="With `mode=replace`: entries that did not come.")


class QueueOut(BaseModel):
    """A queue as it stands, with its unfinished runs counted by status."""

    name: str = Field(examples=["mail"])
    concurrency: int | None = Field(
        description="At most so many run at once, on all replicas together.", examples=[5]
    )
    paused: bool
    queued: int = Field(
        description="Wait for a slot, or (a retry, a later time) for their `not_before`.",
        examples=[12],
    )
    running: int = Field(examples=[5])
    blocked: int = Field(description="Wait for what their `waiting_on` says.", examples=[0])
    updated_at: Instant | None = Field(description="Null: nothing was said of it.")
    updated_by: str | None = Field(examples=["key:3f2a91c0"])


class QueuesOut(BaseModel):
    """A page of queues, by name."""

    items: list[QueueOut]
    next_cursor: str | None


class HandlerOut(BaseModel):
    """A handler that tasks can name."""

    name: str
    description: str
    input_schema: dict[str, Any] | None
    timeout: float | None
    isolation: str
    updated_at: Instant | None


class HandlersOut(BaseModel):
    """A page of handlers, by name."""

    items: list[HandlerOut]
    next_cursor: str | None
