"""The options of `rota key`, which are the same on the database and over the API."""

from collections.abc import Sequence
from typing import Annotated

import typer

Id = Annotated[
    str,
    typer.Argument(help="The id of the key: what is between its two underscores.", metavar="ID"),
]
Name = Annotated[str, typer.Option(help="Who uses it, or what for.")]
Scopes = Annotated[
    list[str],
    typer.Option(
        "--scope", help="What it may do, such as tasks:read or admin; several are possible."
    ),
]
TaskPrefixes = Annotated[
    list[str] | None,
    typer.Option(
        "--task-prefix", help="The beginning of the names of tasks that it may see and use."
    ),
]
QueuePrefixes = Annotated[
    list[str] | None,
    typer.Option(
        "--queue", help="The beginning of the names of queues that it may lease from and set."
    ),
]
Rate = Annotated[float | None, typer.Option(help="Requests that it may make in a second.")]
MaxTasks = Annotated[
    int | None, typer.Option(help="Tasks that have not ended that there may be under its prefixes.")
]
MaxUnfinishedRuns = Annotated[
    int | None, typer.Option(help="Unfinished runs that there may be of those tasks.")
]
MaxKvBytes = Annotated[
    int | None, typer.Option(help="Bytes that the kv values of those tasks may have together.")
]
_WHEN = (
    "After how long it expires, such as 90d, or when, such as 2027-05-25T08:00:00Z; without it, "
)
Expires = Annotated[str | None, typer.Option("--expires", help=f"{_WHEN}never.")]
NewExpiry = Annotated[str | None, typer.Option("--expires", help=f"{_WHEN}that stays as it is.")]
Every = Annotated[
    bool, typer.Option("--all", help="Those that have expired or were revoked as well.")
]


def split(given: Sequence[str] | None) -> list[str] | None:
    """Return the values of an option that may be given several times, and with commas; None if it was left out."""
    return None if not given else [part for each in given for part in each.split(",") if part]
