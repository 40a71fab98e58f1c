"""Options and arguments that several commands share, and what they mean."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from rota.cli.exits import CommandFailed
from rota.cli.remote.documents.reading import DocumentError, parse_value, read_text
from rota.cli.remote.text.selectors import TASKS, SelectorError, parse_selector
from rota.cli.remote.text.times import parse_instant, wire
from rota.clock import SystemClock

TaskName = Annotated[str, typer.Argument(help="The name of the task.", metavar="TASK")]
RunId = Annotated[str, typer.Argument(help="The id of the run.", metavar="RUN")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to do it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]
All = Annotated[bool, typer.Option("--all", help="All of them, however many.")]
Selector = Annotated[
    list[str] | None,
    typer.Option(
        "--selector",
        "-l",
        metavar="NAME=VALUE",
        help="Which tasks: tag=, all_tags=, handler=, queue=, status=, name_prefix=, or all. "
        "Values by commas are alternatives; several selectors must all match.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        help="Only those that ended since: 24h, 7d, 2026-11-25, or a time.", metavar="WHEN"
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        help="Only those that ended until: 1h (ago), 2026-11-25T06:00, or a time.", metavar="WHEN"
    ),
]
Input = Annotated[
    str | None,
    typer.Option(help="Its input: JSON, `@FILE`, or `-` for the standard input.", metavar="JSON"),
]


def local_now() -> datetime:
    """Return the time, in the zone of this machine."""
    return SystemClock().now().astimezone()


def instant(text: str | None) -> str | None:
    """Return a time of an option as the API takes it. Raises CommandFailed."""
    if text is None:
        return None
    try:
        return wire(parse_instant(text, local_now()))
    except (ValueError, OverflowError):
        raise CommandFailed(
            f"{text!r} is no time: give how long ago (24h, 7d), a date, or a time such as 2026-11-25T09:00."
        ) from None


def json_argument(text: str) -> Any:
    """Return the value of an argument: JSON, text, `@FILE`, or `-` for the standard input. Raises CommandFailed."""
    try:
        if text != "-" and not text.startswith("@"):
            return parse_value(text)
        return parse_value(read_text(text.removeprefix("@")))
    except DocumentError as error:
        raise CommandFailed(str(error)) from None


def selector(texts: Sequence[str] | None) -> dict[str, Any] | None:
    """Return the selector of tasks of an option; None if there is none. Raises CommandFailed."""
    if not texts:
        return None
    try:
        return parse_selector(texts, TASKS)
    except SelectorError as error:
        raise CommandFailed(str(error)) from None


def given(**fields: Any) -> dict[str, Any]:
    """Return those fields that are not None: options that were given."""
    return {name: value for name, value in fields.items() if value is not None}
