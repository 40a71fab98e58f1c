"""Responses about holds."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText, show_instant
from rota.domain.holds.model import HeldFireTimes, Hold, HoldSelector
from rota.domain.primitives.times.instants import format_instant
from rota.store.holds.rows import StoredHold


class HoldStatus(StrEnum):
    """Whether a hold lasts."""

    PLANNED = "planned"
    ACTIVE = "active"
    ENDED = "ended"


class HoldSelectorOut(TypedDict):
    """Which tasks are held, as it was sent."""

    tags: NotRequired[
        Annotated[
            list[str],
            Field(description="Tasks that have one of these tags.", examples=[["billing"]]),
        ]
    ]
    name_prefix: NotRequired[
        Annotated[
            str, Field(description="Tasks whose names have this prefix.", examples=["invoices-"])
        ]
    ]
    queues: NotRequired[
        Annotated[
            list[str], Field(description="Tasks of one of these queues.", examples=[["mail"]])
        ]
    ]
    all: NotRequired[Annotated[bool, Field(description="Every task.", examples=[True])]]


# `from` is a keyword of Python.
_SpanOut = TypedDict(
    "_SpanOut",
    {
        "from": Annotated[InstantText, Field(description="Since when, or from when on.")],
        "until": Annotated[
            InstantText | None,
            Field(
                description="Before when it ends, or has ended; null: when it is deleted.",
                examples=["2026-11-25T12:00:00.000Z"],
            ),
        ],
    },
)


class HoldOut(_SpanOut):
    """A hold."""

    name: Annotated[str, Field(description="Its name.", examples=["deploy"])]
    selector: Annotated[
        HoldSelectorOut,
        Field(description="Which tasks it holds.", examples=[{"tags": ["billing"]}]),
    ]
    within: Annotated[
        list[str] | None,
        Field(
            description="The prefixes of names beyond which it holds no task: those of `name_prefix`, or of the key "
            "that set it. Null: there are none.",
            examples=[["invoices-"]],
        ),
    ]
    reason: Annotated[str | None, Field(description="Why.", examples=["the database moves"])]
    fire_times: Annotated[
        HeldFireTimes,
        Field(description="How the fire times within it are treated.", examples=["catch_up"]),
    ]
    status: Annotated[HoldStatus, Field(description="Whether it lasts.", examples=["active"])]
    tasks: Annotated[
        int | None,
        Field(
            description="How many tasks it selects, whatever their status; null unless `?count=true`.",
            examples=[412],
        ),
    ]
    created_at: Annotated[InstantText, Field(description="When it was set first.")]
    created_by: Annotated[str, Field(description="By whom.", examples=["key:1"])]
    updated_at: Annotated[InstantText, Field(description="When it was changed last.")]
    updated_by: Annotated[str, Field(description="By whom.", examples=["key:1"])]


class HoldsOut(TypedDict):
    """A page of holds, by name."""

    items: Annotated[list[HoldOut], Field(description="The holds.")]
    next_cursor: Annotated[str | None, Field(description="Null: there are no more.")]


def show_hold(of: StoredHold, now: datetime, tasks: int | None = None) -> HoldOut:
    """Return a hold, with the number of its tasks if it was asked for."""
    return {
        "name": of.hold.name,
        "selector": _show_selector(of.hold.selector),
        "within": of.hold.selector.within,
        "from": format_instant(of.hold.starts_at),
        "until": show_instant(of.hold.ends_at),
        "reason": of.hold.reason,
        "fire_times": of.hold.fire_times,
        "status": _status(of.hold, now),
        "tasks": tasks,
        "created_at": format_instant(of.created_at),
        "created_by": of.created_by,
        "updated_at": format_instant(of.updated_at),
        "updated_by": of.updated_by,
    }


def _show_selector(of: HoldSelector) -> HoldSelectorOut:
    shown: HoldSelectorOut = {}
    if of.tags:
        shown["tags"] = sorted(of.tags)
    if of.name_prefix:
        shown["name_prefix"] = of.name_prefix
    if of.queues:
        shown["queues"] = sorted(of.queues)
    return shown or {"all": True}


def _status(of: Hold, now: datetime) -> HoldStatus:
    if of.covers(now):
        return HoldStatus.ACTIVE
    return HoldStatus.PLANNED if now < of.starts_at else HoldStatus.ENDED
