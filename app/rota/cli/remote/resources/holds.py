"""`rota hold`: spans of time in which tasks do not fire."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from rota.cli.exits import CommandFailed
from rota.cli.output import Json, print_json, print_table
from rota.cli.registry import group_of_commands
from rota.cli.remote.arguments import given, local_now
from rota.cli.remote.service import at, connected
from rota.cli.remote.text.selectors import HOLDS, SelectorError, parse_selector
from rota.cli.remote.text.times import local, parse_span, wire
from rota.cli.remote.text.values import plural

group = group_of_commands("Spans of time in which tasks do not fire.")

_Name = Annotated[str, typer.Argument(help="The name of the hold.", metavar="HOLD")]


class FireTimes(StrEnum):
    """What happens to the fire times within a hold."""

    SKIP = "skip"
    CATCH_UP = "catch_up"


@group.command("set")
def set_hold(
    context: typer.Context,
    name: _Name,
    chosen: Annotated[
        list[str],
        typer.Option(
            "--selector",
            "-l",
            metavar="NAME=VALUE",
            help="What is held: tag=, queue=, name_prefix=, or all.",
        ),
    ],
    until: Annotated[
        str | None,
        typer.Option(
            help="Until when: 2h from now, a local time or date, or a time with an offset."
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="From when; now if it is left out.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is shown with the tasks.")] = None,
    fire_times: Annotated[
        FireTimes, typer.Option(help="What happens to the fire times within it.")
    ] = FireTimes.SKIP,
    timezone: Annotated[
        str | None,
        typer.Option(
            "--timezone",
            "--tz",
            help="In which --from and --until are local times; this machine's if left out.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Set a hold, or change it: the tasks that it selects do not fire."""
    now = local_now()
    body = given(
        until=_instant(until, now, timezone),
        reason=reason,
        timezone=timezone,
        fire_times=fire_times.value,
    ) | {"selector": _selector(chosen)}
    if since is not None:
        body["from"] = _instant(since, now, timezone)
    with connected(context) as service:
        hold = service.call("PUT", at("holds", name), query={"count": True}, body=body)
    if as_json:
        print_json(hold)
        return
    end = "until it is ended" if hold["until"] is None else f"until {local(hold['until'])}"
    typer.echo(f"{hold['name']} ({hold['status']}) holds {plural(hold['tasks'], 'task')} {end}.")


def _selector(texts: list[str]) -> dict[str, Any]:
    try:
        return parse_selector(texts, HOLDS)
    except SelectorError as error:
        raise CommandFailed(str(error)) from None


def _instant(text: str | None, now: datetime, timezone: str | None) -> str | None:
    """Return a time as the API takes it: a length of time counts from now on; a local time stays one with a zone."""
    if text is None:
        return None
    span = parse_span(text)
    if span is not None:
        return wire(now + span)
    if timezone is not None:
        return text
    try:
        at_time = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(
            f"{text!r} is no time: give 2h, a date, or a time such as 2026-11-25T09:00."
        ) from None
    return wire(at_time if at_time.tzinfo is not None else at_time.astimezone())


@group.command("list")
def list_holds(
    context: typer.Context,
    ended: Annotated[bool, typer.Option("--ended", help="Those that have ended as well.")] = False,
    as_json: Json = False,
) -> None:
    """List the holds that last or are to come."""
    with connected(context) as service:
        found = [*service.pages(at("holds"), {"ended": True} if ended else {})]
    if as_json:
        print_json(found)
        return
    columns = ("name", "status", "from", "until", "selects", "fire times", "reason", "by")
    print_table(columns, map(_row, found), empty="There are no holds.")


def _row(hold: Mapping[str, Any]) -> tuple[object, ...]:
    selected = {name: value for name, value in hold["selector"].items() if value}
    shown = (
        "all"
        if selected.get("all")
        else " ".join(f"{name}={_joined(value)}" for name, value in selected.items())
    )
    until = None if hold["until"] is None else local(hold["until"])
    return (
        hold["name"],
        hold["status"],
        local(hold["from"]),
        until,
        shown,
        hold["fire_times"],
        hold["reason"],
        hold["created_by"],
    )


def _joined(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


@group.command()
def end(context: typer.Context, name: _Name) -> None:
    """End a hold now; one that has not started is removed."""
    with connected(context) as service:
        service.call("DELETE", at("holds", name))
    typer.echo(f"The hold {name} is ended.")
