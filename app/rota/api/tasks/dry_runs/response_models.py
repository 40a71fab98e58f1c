"""Response models of dry runs."""

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText
from rota.api.tasks.response_models import WarningOut
from rota.domain.dry_runs.changes import MOST_CHANGES
from rota.domain.dry_runs.fire_times import DAYS, MOST_COMPARED
from rota.domain.tasks.definition import Applied, Registered, TaskStatus
from rota.domain.time_zones.clock_changes import ClockChange

#: Fire times that each list has at most; in a batch, those of each of its tasks.
MOST_TIMES, MOST_TIMES_IN_BATCH = 100, 10
#: Fire times that are compared of each task in a batch.
MOST_COMPARED_IN_BATCH = 200
#: Tasks of a batch that are shown.
MOST_ITEMS = 100


class ChangedFieldOut(TypedDict):
    """A field of the task that the request changes."""

    path: Annotated[
        str,
        Field(
            description="A JSON pointer (RFC 6901) into the task.",
            examples=["/schedule/expression"],
        ),
    ]
    before: NotRequired[
        Annotated[
            Any,
            Field(
                None,
                description="Missing, if there is no such field. Secret values are `[redacted]`, large ones "
                '`{"omitted_bytes": …}`.',
                examples=["0 9 * * *"],
            ),
        ]
    ]
    after: NotRequired[
        Annotated[Any, Field(None, description="The same.", examples=["30 8 * * *"])]
    ]


class DiffTimeOut(TypedDict):
    """A fire time that differs."""

    at: Annotated[InstantText, Field(examples=["2026-11-25T08:00:00.000Z"])]
    local: Annotated[
        str,
        Field(
            description="The same in the time zone of its schedule.",
            examples=["2026-11-25T09:00:00.000+01:00"],
        ),
    ]
    dst: Annotated[
        ClockChange | None,
        Field(
            description="On a day on which the clocks of that zone change: `gap`, if they go forward, and `fold`, if "
            "they go back.",
            examples=[None],
        ),
    ]


MovedTimeOut = TypedDict(
    "MovedTimeOut",
    {
        "from": Annotated[DiffTimeOut, Field(description="When it fires as the task is.")],
        "to": Annotated[DiffTimeOut, Field(description="When it would fire.")],
    },
)
MovedTimeOut.__doc__ = "A fire time that comes at another time."


class DiffCountsOut(TypedDict):
    """How many fire times differ up to `compared_until`, those that the lists leave out included."""

    appear: Annotated[int, Field(examples=[1])]
    vanish: Annotated[int, Field(examples=[0])]
    move: Annotated[int, Field(examples=[64])]


FireTimesOut = TypedDict(
    "FireTimesOut",
    {
        "from": Annotated[InstantText, Field(description="The time of the request.")],
        "until": Annotated[
            InstantText, Field(description=f"The end of the local day {DAYS} days later.")
        ],
        "compared_until": Annotated[
            InstantText,
            Field(
                description=f"Earlier than `until`, if either schedule has more than {MOST_COMPARED:,} fire times by "
                f"then (in a batch, {MOST_COMPARED_IN_BATCH}), or these take too long to find: what comes later is not "
                "compared."
            ),
        ],
        "appear": Annotated[
            list[DiffTimeOut], Field(description="Fire times that there are only afterwards.")
        ],
        "vanish": Annotated[
            list[DiffTimeOut], Field(description="Fire times that there are no more.")
        ],
        "move": Annotated[
            list[MovedTimeOut],
            Field(description="Fire times that come at another time; they are in neither list."),
        ],
        "counts": DiffCountsOut,
        "truncated": Annotated[
            bool,
            Field(
                description=f"There may be more: a list has the first {MOST_TIMES} only (in a batch, "
                f"{MOST_TIMES_IN_BATCH}), or `compared_until` is before `until`.",
                examples=[False],
            ),
        ],
    },
)
FireTimesOut.__doc__ = "The fire times that run, as the task is and as it would be: what differs."


class DryRunOut(TypedDict):
    """What a registration would do. Nothing was written."""

    name: Annotated[str, Field(examples=["greet"])]
    result: Annotated[Registered, Field(description="What the `outcome` would be.")]
    applied: Applied
    status: Annotated[TaskStatus, Field(description="The status that the task would have.")]
    next_fire_at: InstantText | None
    changes: Annotated[
        list[ChangedFieldOut],
        Field(
            description=f"The fields that differ, the first {MOST_CHANGES}; of a new task, those that are not at "
            "their defaults. `/kv/…` are seeds that would be written."
        ),
    ]
    changes_omitted: Annotated[int, Field(description="How many more fields differ.", examples=[0])]
    fire_times: Annotated[
        FireTimesOut | None,
        Field(description="Null, if they take too long to find; `warnings` says so then."),
    ]
    warnings: list[WarningOut]


class BatchDryRunOut(TypedDict):
    """What a batch would do: how many tasks would have each outcome. Nothing was written."""

    created: Annotated[int, Field(examples=[1])]
    updated: Annotated[int, Field(examples=[1])]
    unchanged: Annotated[int, Field(examples=[40])]
    kept: Annotated[int, Field(examples=[0])]
    replaced: Annotated[int, Field(examples=[0])]
    names: Annotated[list[str], Field(examples=[["greet", "invoice-digest"]])]
    items: Annotated[
        list[DryRunOut],
        Field(
            description=f"The tasks that would change, in the order of the request, the first {MOST_ITEMS}."
        ),
    ]
    items_omitted: Annotated[
        int, Field(description="How many more tasks would change.", examples=[0])
    ]
