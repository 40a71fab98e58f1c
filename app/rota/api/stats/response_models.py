"""Response models of statistics: what `show_…` returns, and what OpenAPI describes."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText

_Count = Annotated[int, Field(examples=[3])]


class QuantilesOut(TypedDict):
    """Seconds that runs took, or were late: by nearest rank, so that each is one that occurred."""

    count: Annotated[int, Field(description="Of how many runs.", examples=[30])]
    p50: Annotated[
        float | None, Field(description="The median; null without runs.", examples=[0.412])
    ]
    p95: Annotated[float | None, Field(description="95 % are not above it.", examples=[1.205])]
    p99: Annotated[float | None, Field(description="99 % are not above it.", examples=[2.731])]
    sampled: Annotated[
        bool,
        Field(
            description="Whether they are of a random sample of `count` runs: of more than 100,000 not all are read.",
            examples=[False],
        ),
    ]


class RunCountsOut(TypedDict):
    """Runs whose `scheduled_for` is in the window, whatever triggered them.

    A skipped run counts as often as it has fire times in the window.
    """

    total: Annotated[int, Field(examples=[34])]
    by_status: Annotated[
        Mapping[str, int],
        Field(
            description="Every status, those of unfinished runs as well.",
            examples=[{"succeeded": 29, "failed": 1, "skipped": 4, "running": 0}],
        ),
    ]
    by_reason: Annotated[
        Mapping[str, int],
        Field(
            description="The reasons that occur, of failed, cancelled and skipped runs.",
            examples=[{"attempts_exhausted": 1, "paused": 4}],
        ),
    ]


class RanOut(TypedDict):
    """Fire times that ran, by how they ended."""

    total: Annotated[int, Field(examples=[30])]
    succeeded: Annotated[int, Field(examples=[29])]
    failed: Annotated[int, Field(examples=[1])]
    cancelled: Annotated[int, Field(description="While they ran.", examples=[0])]


class NotRunOut(TypedDict):
    """Fire times that did not run."""

    total: Annotated[int, Field(examples=[4])]
    by_reason: Annotated[Mapping[str, int], Field(examples=[{"paused": 4}])]


class PendingOut(TypedDict):
    """Fire times that have come, and are not decided yet."""

    total: Annotated[int, Field(examples=[0])]
    by_cause: Annotated[
        Mapping[str, int],
        Field(
            description="`running`, `queued` and `blocked`: the status of the run. Without a run yet: `unplanned` (the "
            "next firing pass makes it), `paused` (the resumption decides), `held` (the end of the hold decides).",
            examples=[{"running": 1}],
        ),
    ]


class CompletenessOut(TypedDict):
    """The fire times of the schedule that lie in the window, by their outcome: each is counted once.

    Runs by hand, reruns, backfills, pings, notifications and those that follow other tasks are no fire times.
    """

    due: Annotated[int, Field(description="The sum of all below.", examples=[34])]
    ran: RanOut
    skipped: Annotated[NotRunOut, Field(description="On purpose, or because of another run.")]
    missed: Annotated[
        NotRunOut,
        Field(description="Nobody could fire them in time: reasons `misfire` and `too_late`."),
    ]
    cancelled: Annotated[int, Field(description="Before they had started.", examples=[0])]
    pending: PendingOut
    ratio: Annotated[
        float | None,
        Field(
            description="Those that ran, of those that were to run: pending ones do not count, nor those that the "
            "schedule leaves out (`excluded`, `dst_gap`). Null if there were none.",
            examples=[0.882353],
        ),
    ]


class StatsOut(TypedDict):
    """Statistics of a window."""

    from_: Annotated[InstantText, Field(alias="from", description="The first time in it.")]
    to: Annotated[InstantText, Field(description="The first time after it.")]
    complete_since: Annotated[
        InstantText | None,
        Field(
            description="Runs of the window that are older may have been removed (`retention`), and are not counted "
            "then. Null: all of the window is kept."
        ),
    ]
    exact: Annotated[
        bool,
        Field(
            description="Whether everything that is kept was counted. False: a part is estimated, because a row of "
            "skipped fire times reaches over an edge of the window and its schedule has changed, `max_runs` may end "
            "the task before, or the counting would take too long.",
            examples=[True],
        ),
    ]
    runs: RunCountsOut
    success_rate: Annotated[
        float | None,
        Field(
            description="Succeeded runs, of those that succeeded or failed. Null without any.",
            examples=[0.966667],
        ),
    ]
    duration: Annotated[
        QuantilesOut, Field(description="Of the last attempt of each run that has ended.")
    ]
    lateness: Annotated[
        QuantilesOut,
        Field(description="From the fire time to the first start, of runs of the schedule."),
    ]
    completeness: CompletenessOut
    last_success_at: Annotated[
        InstantText | None,
        Field(description="Of one task: of all times. Else: of the runs of the window."),
    ]
    last_failure_at: Annotated[
        InstantText | None,
        Field(description="Of one task: of all runs that are kept. Else: of those of the window."),
    ]


class TaskStatsOut(StatsOut):
    """Statistics of a task."""

    task: Annotated[str, Field(examples=["invoice-digest"])]
    consecutive_failures: Annotated[int, Field(description="Up to now.", examples=[0])]
