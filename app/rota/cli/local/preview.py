"""`rota preview`: when a schedule fires, without a service."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from rota.cli.exits import CommandFailed
from rota.cli.local.schedules import typed_schedule
from rota.cli.output import Json, note, print_json, print_table
from rota.clock import SystemClock
from rota.domain.lint.rules import left_out, lint
from rota.domain.primitives.times.instants import format_instant, parse_instant
from rota.domain.schedules.base import Anchor
from rota.domain.schedules.calendar_use import calendars_of
from rota.domain.schedules.definitions import Planned
from rota.domain.schedules.descriptions import describe
from rota.domain.schedules.first_runs import first_runs
from rota.domain.schedules.requested_times import zone_of
from rota.domain.time_zones.zone import zone
from rota.errors import AppError


def preview(
    schedule: Annotated[
        str,
        typer.Argument(
            help="A cron expression ('0 9 * * 1-5'), '@daily', a duration ('15m'), or a schedule as JSON."
        ),
    ],
    timezone: Annotated[
        str | None, typer.Option("--tz", help="IANA name, such as Europe/Berlin; UTC, if left out.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="How many fire times.")] = 5,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", help="As if it were registered then, such as 2027-03-01T00:00:00Z; now."
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Of the task, which 'jitter' and 'flex' depend on.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show when a schedule would fire, in words and as times. Needs no service."""
    planned = typed_schedule(schedule, timezone)
    _refuse_calendars(planned)
    anchor = Anchor(_instant(begin), name)
    try:
        times = first_runs(planned, anchor, count)
        found = [*lint(planned, anchor.at, times, anchor.at), *left_out(planned, anchor, times)]
        sentence = describe(planned)
    except AppError as error:
        raise CommandFailed(error.detail) from None
    place = zone(zone_of(planned))
    warnings = [str(each.message) for each in found]
    if as_json:
        print_json(
            {
                "description": sentence,
                "fire_times": [_as_json(at, place) for at in times],
                "warnings": warnings,
            }
        )
        return
    typer.echo(f"{sentence}.")
    _print_times(times, place)
    for each in warnings:
        note(f"Warning: {each}")


def _refuse_calendars(planned: Planned) -> None:
    names = calendars_of(planned)
    if names:
        raise CommandFailed(
            f"The calendar {min(names)!r} is kept by a service; ask it: POST /v1/schedules/preview."
        )


def _instant(text: str | None) -> datetime:
    if text is None:
        return SystemClock().now()
    try:
        return parse_instant(text)
    except ValueError as error:
        raise CommandFailed(f"--from: {error}") from None


def _as_json(at: datetime, place: ZoneInfo) -> dict[str, Any]:
    local = at.astimezone(place).isoformat(timespec="milliseconds")
    return {"at": format_instant(at), "local": local}


def _print_times(times: Sequence[datetime], place: ZoneInfo) -> None:
    utc = place.key == "UTC"
    columns = ("UTC",) if utc else ("local time", "UTC")
    rows = [(_shown(at),) if utc else (_shown(at.astimezone(place)), _shown(at)) for at in times]
    print_table(columns, rows, empty="It has no fire times.")


def _shown(at: datetime) -> str:
    text = at.isoformat(sep=" ", timespec="milliseconds" if at.microsecond else "seconds")
    return f"{at:%a} {text}"
