"""Which runs: the options that lists and bulk operations share."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import typer

from rota.cli.exits import CommandFailed
from rota.cli.remote import arguments
from rota.cli.remote.arguments import given, instant

_Texts = list[str] | None


class Filters:
    """The types of the options."""

    Task = Annotated[_Texts, typer.Option(help="Of one of these tasks.")]
    Tag = Annotated[_Texts, typer.Option(help="Of tasks that have one of these tags.")]
    AllTags = Annotated[_Texts, typer.Option(help="Of tasks that have all of these tags.")]
    Status = Annotated[
        _Texts,
        typer.Option(help="blocked, queued, running, succeeded, failed, cancelled, skipped."),
    ]
    Failed = Annotated[bool, typer.Option("--failed", help="The same as --status failed.")]
    Reason = Annotated[_Texts, typer.Option(help="With one of these reasons: timeout, lost, …")]
    Error = Annotated[
        _Texts, typer.Option(help="Whose error has this type, or this text in its message.")
    ]
    Trigger = Annotated[_Texts, typer.Option(help="schedule, manual, backfill, rerun, after, …")]
    Since: TypeAlias = arguments.Since
    Until: TypeAlias = arguments.Until


def filters(
    *,
    task: Sequence[str] | None,
    tag: Sequence[str] | None,
    all_tags: Sequence[str] | None = None,
    status: Sequence[str] | None,
    failed: bool,
    reason: Sequence[str] | None,
    error: Sequence[str] | None,
    trigger: Sequence[str] | None = None,
    since: str | None,
    until: str | None,
) -> dict[str, Any]:
    """Return the filters of the API that options give, as in the query of a list. Raises CommandFailed."""
    if failed and status:
        raise CommandFailed("--failed is --status failed: give one of them.")
    return given(
        task=task,
        tag=tag,
        all_tags=all_tags,
        status=["failed"] if failed else status,
        reason=reason,
        error=error,
        trigger=trigger,
        finished_from=instant(since),
        finished_to=instant(until),
    )


def as_selector(found: dict[str, Any]) -> dict[str, Any]:
    """Return the selector of a bulk operation for filters of a list: it says `tags` for `tag`."""
    return {"tags" if name == "tag" else name: value for name, value in found.items()}
