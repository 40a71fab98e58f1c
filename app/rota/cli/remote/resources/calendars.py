"""`rota calendar`: named days that schedules leave out."""

from typing import Annotated, Any

import typer

from rota.cli.exits import CommandFailed
from rota.cli.output import Json, print_fields, print_json, print_table
from rota.cli.registry import group_of_commands
from rota.cli.remote.arguments import Yes, given
from rota.cli.remote.confirmation import confirm
from rota.cli.remote.documents.reading import DocumentError, read_text
from rota.cli.remote.service import at, connected

group = group_of_commands("Named days that schedules leave out.")

_Name = Annotated[str, typer.Argument(help="The name of the calendar.", metavar="CALENDAR")]


@group.command("list")
def list_calendars(context: typer.Context, as_json: Json = False) -> None:
    """List the calendars."""
    with connected(context) as service:
        found = [*service.pages(at("calendars"))]
    if as_json:
        print_json(found)
        return
    rows = (
        (each["name"], each["source"], ", ".join(each["next"][:3]), each["description"])
        for each in found
    )
    print_table(
        ("name", "source", "next days", "description"), rows, empty="There are no calendars."
    )


@group.command("show")
def show_calendar(context: typer.Context, name: _Name, as_json: Json = False) -> None:
    """Show a calendar, with its next days."""
    with connected(context) as service:
        found = service.get(at("calendars", name))
    if as_json:
        print_json(found)
        return
    holidays = found["holidays"] or {}
    print_fields(
        given(
            name=found["name"],
            description=found["description"],
            source=found["source"],
            country="-".join(each for each in holidays.values() if each) or None,
            next_days=", ".join(found["next"]) or None,
            tasks=found["tasks"],
            version=found["version"],
        )
    )


@group.command("set")
def set_calendar(
    context: typer.Context,
    name: _Name,
    date: Annotated[
        list[str] | None,
        typer.Option(help="A day: 2026-12-24; several are possible, also by commas."),
    ] = None,
    icalendar: Annotated[
        str | None,
        typer.Option("--ics", metavar="FILE", help="An iCalendar file; `-` is the standard input."),
    ] = None,
    holidays: Annotated[
        str | None,
        typer.Option(
            metavar="COUNTRY", help="Public holidays: DE, or of a part of the country: DE-BE."
        ),
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    as_json: Json = False,
) -> None:
    """Declare a calendar, or replace it: every task that uses it follows."""
    if sum(each is not None and each != [] for each in (date, icalendar, holidays)) != 1:
        raise CommandFailed("Give one of --date, --ics and --holidays.")
    body = given(
        dates=[day for each in date or () for day in each.split(",")] or None,
        icalendar=None if icalendar is None else _text(icalendar),
        holidays=None if holidays is None else _country(holidays),
        description=description,
    )
    with connected(context) as service:
        found = service.call("PUT", at("calendars", name), body=body)
    if as_json:
        print_json(found)
    else:
        days = ", ".join(found["next"][:5]) or "none"
        typer.echo(f"{name} is set, version {found['version']}. Its next days: {days}.")


def _text(path: str) -> str:
    try:
        return read_text(path)
    except DocumentError as error:
        raise CommandFailed(str(error)) from None


def _country(text: str) -> dict[str, Any]:
    country, _, subdivision = text.partition("-")
    return {"country": country, **({"subdivision": subdivision} if subdivision else {})}


@group.command("delete")
def delete_calendar(context: typer.Context, name: _Name, yes: Yes = False) -> None:
    """Delete a calendar that no task uses."""
    with connected(context) as service:
        confirm(f"Delete the calendar {name}?", yes=yes)
        service.call("DELETE", at("calendars", name))
    typer.echo(f"The calendar {name} is deleted.")
