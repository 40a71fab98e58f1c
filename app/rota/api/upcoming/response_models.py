"""Response models of what runs next."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from rota.api.http.formats import InstantText


class ComingRunOut(TypedDict):
    """A fire time of a task."""

    at: Annotated[InstantText, Field(examples=["2026-11-25T08:00:00.000Z"])]
    local: Annotated[
        str,
        Field(
            description="The same in the time zone of the task's schedule.",
            examples=["2026-11-25T09:00:00.000+01:00"],
        ),
    ]
    task: Annotated[str, Field(examples=["invoice-digest"])]
    handler: Annotated[str, Field(examples=["http"])]
    queue: Annotated[str, Field(examples=["default"])]
    tags: Annotated[list[str], Field(examples=[["billing"]])]
    held: Annotated[
        bool,
        Field(
            description="It lies in a hold, as far as holds are set now, so that it does not run at this time.",
            examples=[False],
        ),
    ]


class AgendaOut(TypedDict):
    """What runs next of several tasks, by time, then by name."""

    items: list[ComingRunOut]
    until: Annotated[InstantText, Field(description="The end of the time that was asked for.")]
    complete_until: Annotated[
        InstantText,
        Field(
            description="Up to here nothing is missing; earlier than `until`, if `limit` has left something out. To "
            "see more, give a larger limit, or fewer tasks."
        ),
    ]
