"""Response models of tasks: what `show_…` returns, and what OpenAPI describes."""

from typing import Annotated, NotRequired

from pydantic import BaseModel, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText
from rota.api.runs.response_models import RunSummaryOut
from rota.domain.explain.model import VERDICTS, Verdict
from rota.domain.primitives.times.instants import Instant
from rota.domain.runs.status import RunStatus
from rota.domain.schedules.definitions import Schedule, Unreadable
from rota.domain.tasks.definition import Applied, Registered, TaskDefinition, TaskStatus


# Not the configuration of the models below, which refuse other fields.
@with_config(ConfigDict())
class LastRunOut(TypedDict):
    """The run that finished last."""

    id: str
    status: RunStatus
    scheduled_for: InstantText
    finished_at: InstantText | None


# With titles: else the documentation page calls both of them "object".
_AsStored = (
    Annotated[Schedule, Field(title="Schedule")]
    | Annotated[Unreadable, Field(title="Schedule that this version cannot read")]
)


# Models, and no typed dicts, since the definition is one: a test compares their fields with those of `show_task`.
class TaskOut(TaskDefinition):
    """A task in its present state."""

    schedule: _AsStored  # type: ignore[assignment]  # stored by another version, it may be unreadable
    unreadable: list[str] = Field(
        [],
        description="`input`, where it is null because the stored value was changed outside Rota.",
    )
    id: str
    name: str
    status: TaskStatus
    status_reason: str | None
    status_changed_at: Instant
    status_changed_by: str
    held_by: list[str] = Field(
        description="The holds that it is in: nothing fires, and runs that wait do not start. Its status is its own.",
        examples=[["deploy"]],
    )
    generation: int
    next_fire_at: Instant | None
    last_run: LastRunOut | None
    last_success_at: Instant | None
    consecutive_failures: int
    created_at: Instant
    updated_at: Instant


#: So many tasks of a batch are returned with their next fire times, which take half as long to find as a registration.
MOST_UPCOMING = 20


@with_config(ConfigDict())
class WarningOut(TypedDict):
    """A possible mistake. The task is registered anyway."""

    code: Annotated[
        str,
        Field(
            description="`both_day_fields`, `dst_fold`, `dst_gap`, `encoded_twice`, `every_second`, `excluded`, "
            "`handler_missing`, `in_the_past`, `literal_template`, `month_end`, `never_fires`, `no_public_url`, "
            "`no_retry`, `nobody_notified`, `notified_cancelled`, `notified_missing`, `notified_paused`, "
            "`plain_secret`, `predecessor_cancelled`, `predecessor_completed`, `predecessor_missing`, "
            "`predecessor_paused`, `reversed_offset`, `timeout_longer_than_interval`, `too_costly`, "
            "`uneven_interval`, `unplannable`.",
            examples=["dst_gap"],
        ),
    ]
    message: Annotated[str, Field(description="What happens, and what to do about it.")]
    at: NotRequired[
        Annotated[InstantText | None, Field(None, description="When it happens first.")]
    ]


class RegistrationOut(TaskOut):
    """A task, and what a registration did to it."""

    outcome: Registered
    applied: Applied
    differs: bool = Field(False, description="With `kept`: whether the definition sent is another.")
    upcoming: list[Instant] = Field(description="The next fire times.")
    warnings: list[WarningOut]


@with_config(ConfigDict())
class RunMarkOut(TypedDict):
    """A run, as a list of tasks shows it."""

    id: str
    status: RunStatus
    scheduled_for: InstantText
    duration: Annotated[
        float | None,
        Field(description="Seconds of the last attempt; null until it ends.", examples=[0.412]),
    ]


class ListedTaskOut(TaskOut):
    """A task in a list."""

    latest_runs: list[RunMarkOut] = Field(
        [],
        description="With `latest_runs`, and a key that may read runs: the newest `scheduled_for` first.",
    )


class TasksOut(BaseModel):
    """A page of tasks, by name."""

    items: list[ListedTaskOut]
    next_cursor: str | None
    total: int = Field(
        0, description="With `total=true`: how many tasks the filters leave.", examples=[4212]
    )
    total_is_exact: bool = Field(
        True,
        description="With `total=true`. False: there are at least so many, and no more were counted.",
    )


class FireTimeOut(TypedDict):
    """When a schedule fires."""

    at: InstantText
    local: Annotated[
        str,
        Field(
            description="The same in the time zone of the schedule, with its offset from UTC.",
            examples=["2026-11-25T09:00:00.000+01:00"],
        ),
    ]


class PreviewOut(TypedDict):
    """The fire times of a schedule, and its description."""

    fire_times: Annotated[
        list[FireTimeOut],
        Field(description="The next ones that run; `warnings` has those that are left out."),
    ]
    description: Annotated[str, Field(examples=["At 09:00 from Monday to Friday, Europe/Berlin"])]
    warnings: list[WarningOut]


class BatchItemOut(TypedDict):
    """What a batch did to a task, and what is ahead of it."""

    name: Annotated[str, Field(examples=["greet"])]
    outcome: Registered
    next_fire_at: InstantText | None
    upcoming: Annotated[
        list[InstantText] | None,
        Field(
            description=f"The next fire times; null beyond the first {MOST_UPCOMING} tasks of a batch."
        ),
    ]
    warnings: list[WarningOut]


class BatchOut(TypedDict):
    """What a batch did: how many tasks have each outcome, the names of all, and what is ahead of each."""

    created: int
    updated: int
    unchanged: int
    kept: int
    replaced: int
    names: list[str]
    items: Annotated[
        list[BatchItemOut],
        Field(
            description=f"The first {MOST_UPCOMING} tasks, and of the others those with warnings, in the order of the "
            "request."
        ),
    ]


class UpcomingOut(TypedDict):
    """The next fire times of a task, also of a paused one."""

    items: list[InstantText]


class ExplanationOut(TypedDict):
    """Why a task is not running, did not run, or will not run."""

    at: Annotated[InstantText, Field(description="The time in question; now, if none was given.")]
    expected: Annotated[
        bool,
        Field(
            description="The schedule has a fire time then that is to run; of now: a run is unfinished or due."
        ),
    ]
    verdict: Annotated[Verdict, Field(description=VERDICTS)]
    reason: Annotated[
        str | None,
        Field(
            description="A detail of the verdict: the reason of the run, or what it waits for.",
            examples=["overlap"],
        ),
    ]
    message: Annotated[str, Field(description="The answer as text, with what to do.")]
    run: Annotated[RunSummaryOut | None, Field(description="The run that the answer is about.")]
    warnings: list[WarningOut]
