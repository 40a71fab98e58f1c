"""Response models of runs: what `show_…` returns, and what OpenAPI describes."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText
from rota.domain.http_target.phases import CallPhase
from rota.domain.runs.lineage import LinkKind
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus, Trigger

_RUN = "018bcfe5-6800-7000-8000-000000000001"


_PHASES = {"dns": 0.0041, "connect": 0.012, "tls": 0.031, "write": 0.0002, "wait": 1.2}


class ErrorResponseOut(TypedDict):
    """The response of a target to a call that failed."""

    status: Annotated[int, Field(examples=[503])]
    headers: Annotated[
        Mapping[str, str],
        Field(
            description="Chosen headers, never `Set-Cookie`.",
            examples=[{"content-type": "text/plain", "retry-after": "30"}],
        ),
    ]
    body: Annotated[
        str | None,
        Field(
            description="The first 2 KiB as text; null if it is empty, or no text.",
            examples=["The database is being upgraded."],
        ),
    ]
    truncated: Annotated[
        bool, Field(description="Whether there was more of the body.", examples=[False])
    ]
    url_path: Annotated[
        str | None,
        Field(
            description="The path that was asked, after redirects and without its query; null in old runs.",
            examples=["/jobs/digest"],
        ),
    ]


class ErrorOut(TypedDict):
    """What went wrong in an attempt."""

    type: Annotated[str, Field(examples=["http.status"])]
    message: Annotated[str, Field(examples=["503 from app.example.com"])]
    traceback: str | None
    response: Annotated[
        ErrorResponseOut | None,
        Field(description="Of an `http` task whose target responded: its response."),
    ]
    phase: Annotated[
        CallPhase | None,
        Field(
            description="Of an `http` task that got no response: what Rota was doing when the call failed.",
            examples=["connect"],
        ),
    ]
    timings: Annotated[
        Mapping[str, float] | None,
        Field(
            description="Of an `http` task: the seconds that each phase of the call took.",
            examples=[_PHASES],
        ),
    ]


class ProgressOut(TypedDict):
    """The progress that a run has reported."""

    fraction: float | None
    message: str | None


class AttemptOut(TypedDict):
    """One attempt of a run; `outcome` is null while it is running."""

    attempt: int
    outcome: AttemptOutcome | None
    counted: bool
    started_at: InstantText
    finished_at: InstantText | None
    error: ErrorOut | None
    timings: Annotated[
        Mapping[str, float] | None,
        Field(
            description="Of an `http` task: the seconds that each phase of the call took, whether it succeeded or not.",
            examples=[_PHASES],
        ),
    ]


class RunSummaryOut(TypedDict):
    """A run as lists show it."""

    id: str
    task: str
    task_generation: int
    trigger: Trigger
    rerun_of: str | None
    backfill_id: str | None
    chain_id: Annotated[
        str,
        Field(
            description="The chain that it is part of: the id of the first run, from which the others followed.",
            examples=[_RUN],
        ),
    ]
    scheduled_for: InstantText
    scheduled_until: Annotated[
        InstantText | None, Field(description="With `count`: the span of a gap.")
    ]
    count: int
    status: RunStatus
    reason: str | None
    waiting_on: Annotated[
        list[str],
        Field(
            description="What a blocked run waits for; of a queued one, the host that it may not call before "
            "`not_before`; of a running one, its `completion` from outside of Rota.",
            examples=[["circuit:api.example.com"]],
        ),
    ]
    lease_expires_at: NotRequired[
        Annotated[
            InstantText,
            Field(
                description="Of an attempt that continues outside of Rota (`waiting_on`: `completion`): when it times "
                "out, unless it is completed or a heartbeat extends it before.",
            ),
        ]
    ]
    queue: str
    priority: int
    not_before: InstantText | None
    input: Any
    secret_input: NotRequired[
        Annotated[bool, Field(False, description="Its input is kept secret: `input` is null.")]
    ]
    result: Any
    truncated: NotRequired[
        Annotated[
            bool,
            Field(
                False,
                description="A list left `input` or `result` out (null), as it is large: read the run itself.",
            ),
        ]
    ]
    unreadable: NotRequired[
        Annotated[
            list[str],
            Field(
                [],
                description="Fields that are null because the stored value cannot be read: it was changed outside "
                "Rota.",
            ),
        ]
    ]
    error: ErrorOut | None
    progress: ProgressOut | None
    attempt: int
    failures: int
    cancel_requested_at: InstantText | None
    created_at: InstantText
    started_at: InstantText | None
    finished_at: InstantText | None
    lateness: Annotated[
        float | None,
        Field(
            description="Seconds from the fire time to the start of the first attempt (`started_at`: of the last one)."
        ),
    ]
    duration: Annotated[
        float | None,
        Field(
            description="Seconds that the last attempt took, by the wall clock; 0 if that was set back."
        ),
    ]
    traceparent: Annotated[
        str | None,
        Field(
            description="The W3C trace context of the request that triggered it, or registered its task. Each attempt "
            "passes the trace on, with a span of its own.",
            examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        ),
    ]


class LinkedRunOut(TypedDict):
    """A run that has led to another one, or has followed from it."""

    id: Annotated[str, Field(description="Its id.", examples=[_RUN])]
    task: Annotated[str, Field(description="Its task.", examples=["extract"])]
    kind: Annotated[
        LinkKind,
        Field(
            description="`after`: the task of the later run comes after that of the earlier one. `rerun`: it repeats "
            "it. `notification`: it notifies of it. `registration`: the earlier run registered its task.",
            examples=["after"],
        ),
    ]


class RunOut(RunSummaryOut):
    """A run with its attempts."""

    attempts: list[AttemptOut]
    fed_by: Annotated[
        list[LinkedRunOut],
        Field(description="The runs that have led to it, 100 at most.", examples=[[]]),
    ]
    fed: Annotated[
        list[LinkedRunOut],
        Field(
            description="The runs that have followed from it, the first 100. `GET /v1/runs/{id}/lineage` has more.",
            examples=[[]],
        ),
    ]


class TotalOut(TypedDict):
    """The number of all items, with `total=true`."""

    total: NotRequired[
        Annotated[int, Field(description="How many items the filters leave.", examples=[4212])]
    ]
    total_is_exact: NotRequired[
        Annotated[
            bool,
            Field(
                description="False: there are at least so many, and no more were counted.",
                examples=[True],
            ),
        ]
    ]


class RunsOut(TotalOut):
    """A page of runs, newest `scheduled_for` first."""

    items: list[RunSummaryOut]
    next_cursor: str | None


class LogLineOut(TypedDict):
    """A line that a handler printed (`stdout`, `stderr`) or logged (`debug` to `error`)."""

    attempt: int
    line: int
    at: InstantText
    level: str
    message: str


class LogsOut(TypedDict):
    """A page of log lines, in the order in which they were written."""

    items: list[LogLineOut]
    next_cursor: str | None
