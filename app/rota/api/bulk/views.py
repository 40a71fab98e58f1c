"""Bulk operations on runs, as responses show them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText, show_instant
from rota.domain.bulk.model import Bulk, BulkStatus, BulkVerb, Foreseen, Item, ItemResult
from rota.domain.primitives.json import json_text
from rota.domain.primitives.json.stored_json import StoredJson
from rota.domain.primitives.times.instants import format_instant
from rota.store.runs.reading import MOST_LISTED

#: How many items a response to a POST shows.
SHOWN = 50
_ID = "018bcfe5-6800-7000-8000-000000000001"
_RUN = "018bcfe5-6800-7000-8000-000000000002"
_DETAIL = "They are running; only a finished run can be run again."

Shown = Literal["pending", "done", "changed", "refused"]


class ForeseenOut(TypedDict):
    """Runs that would be refused, and why: the problem that the verb alone would return."""

    type: Annotated[
        str, Field(description="The type of the problem.", examples=["/problems/wrong-status"])
    ]
    detail: Annotated[str, Field(description="Why, and what to do.", examples=[_DETAIL])]
    runs: Annotated[int, Field(description="How many runs.", examples=[2])]


class ResultsOut(TypedDict):
    """How many runs have which result."""

    pending: Annotated[int, Field(description="Not dealt with yet.", examples=[0])]
    done: Annotated[int, Field(description="The verb was executed.", examples=[41])]
    changed: Annotated[
        int,
        Field(description="Left alone: they are not what was selected any more.", examples=[1]),
    ]
    refused: Annotated[int, Field(description="The verb was not possible.", examples=[2])]


class BulkItemOut(TypedDict):
    """The result of one run."""

    run: Annotated[str, Field(description="The run; it may be gone.", examples=[_RUN])]
    task: Annotated[
        str | None,
        Field(description="Its task; null if it was gone.", examples=["invoice-digest"]),
    ]
    result: Annotated[Shown, Field(description="What was done.", examples=["done"])]
    type: Annotated[
        str | None,
        Field(
            description="Of a refused one: the type of the problem.",
            examples=["/problems/overlap"],
        ),
    ]
    detail: Annotated[
        str | None,
        Field(description="Why it was refused or left alone.", examples=["It was removed."]),
    ]
    new_run: Annotated[
        str | None, Field(description="The run that a rerun has made.", examples=[_RUN])
    ]


class BulkRunsOut(TypedDict):
    """A bulk operation in its present state."""

    id: Annotated[str, Field(description="Its id.", examples=[_ID])]
    verb: Annotated[BulkVerb, Field(description="What is done to each run.", examples=["rerun"])]
    status: Annotated[
        BulkStatus,
        Field(
            description="`previewed`: nothing is done before it is confirmed.",
            examples=["finished"],
        ),
    ]
    selector: Annotated[
        Mapping[str, Any],
        Field(description="As it was sent.", examples=[{"status": ["failed"]}]),
    ]
    input: Annotated[
        Any,
        Field(
            description="The input of the runs that it makes; null also if each has its own.",
            examples=[None],
        ),
    ]
    input_omitted: NotRequired[
        Annotated[
            bool,
            Field(
                description=f"True: in a list, its input of more than {MOST_LISTED:,} bytes is left out.",
                default=False,
            ),
        ]
    ]
    max_concurrent: Annotated[
        int | None,
        Field(description="How many runs that it makes are unfinished at a time.", examples=[None]),
    ]
    runs: Annotated[int, Field(description="How many runs it is for.", examples=[44])]
    truncated: Annotated[
        bool,
        Field(description="Whether the selector matched more than that.", examples=[False]),
    ]
    statuses: Annotated[
        Mapping[str, int],
        Field(
            description="How many of them had each status when they were selected.",
            examples=[{"failed": 42, "running": 2}],
        ),
    ]
    foreseen: Annotated[
        Sequence[ForeseenOut],
        Field(description="Which would have been refused then, by their status."),
    ]
    results: Annotated[ResultsOut, Field(description="How far it has come.")]
    created_at: Annotated[InstantText, Field(description="When the runs were selected.")]
    created_by: Annotated[str, Field(description="By whom.", examples=["local"])]
    expires_at: Annotated[
        InstantText | None,
        Field(description="Of a preview: until when it can be confirmed."),
    ]
    confirmed_at: Annotated[InstantText | None, Field(description="Since when it is executed.")]
    confirmed_by: Annotated[
        str | None, Field(description="Who had it executed.", examples=["local"])
    ]
    finished_at: Annotated[
        InstantText | None, Field(description="When it ended, or was cancelled.")
    ]
    reason: Annotated[
        str | None,
        Field(
            description="Why it was cancelled, if no client has requested that: the key that had it executed is not "
            "accepted any more.",
            examples=[None],
        ),
    ]
    items: NotRequired[
        Annotated[
            Sequence[BulkItemOut],
            Field(description=f"In responses to a POST: the first {SHOWN} runs.", default=[]),
        ]
    ]


class BulksOut(TypedDict):
    """A page of bulk operations, the newest first."""

    items: Annotated[list[BulkRunsOut], Field(description="The operations.")]
    next_cursor: Annotated[
        str | None, Field(description="Null: there are no more.", examples=[None])
    ]


class BulkItemsOut(TypedDict):
    """A page of the runs of a bulk operation, in the order in which they are dealt with."""

    items: Annotated[list[BulkItemOut], Field(description="The runs.")]
    next_cursor: Annotated[
        str | None, Field(description="Null: there are no more.", examples=[None])
    ]


def show_bulk(of: Bulk, counted: Mapping[ItemResult, int]) -> BulkRunsOut:
    """Return an operation as a response shows it; `counted`: how many runs have had each result."""
    shown: BulkRunsOut = {
        "id": of.id,
        "verb": of.request.verb,
        "status": of.status,
        "selector": json_text.loads(of.request.selector.model_dump_json(exclude_defaults=True)),
        "input": None if of.request.input is None else StoredJson(of.request.input),
        "max_concurrent": of.request.max_concurrent,
        "runs": of.runs,
        "truncated": of.truncated,
        "statuses": of.statuses,
        "foreseen": [_show_foreseen(each) for each in of.foreseen],
        "results": {
            "pending": of.runs - of.position,
            "done": counted.get(ItemResult.DONE, 0),
            "changed": counted.get(ItemResult.CHANGED, 0),
            "refused": counted.get(ItemResult.REFUSED, 0),
        },
        "created_at": format_instant(of.created_at),
        "created_by": of.created_by,
        "expires_at": show_instant(of.expires_at if of.status is BulkStatus.PREVIEWED else None),
        "confirmed_at": show_instant(of.confirmed_at),
        "confirmed_by": of.confirmed_by,
        "finished_at": show_instant(of.finished_at),
        "reason": of.reason,
    }
    if of.input_left_out:
        shown["input_omitted"] = True
    return shown


def show_item(of: Item) -> BulkItemOut:
    return {
        "run": of.run_id,
        "task": of.task,
        "result": "pending" if of.result is None else of.result.value,
        "type": None if of.problem is None else f"/problems/{of.problem}",
        "detail": of.detail,
        "new_run": of.new_run_id,
    }


def _show_foreseen(of: Foreseen) -> ForeseenOut:
    return {"type": f"/problems/{of.slug}", "detail": of.detail, "runs": of.runs}
