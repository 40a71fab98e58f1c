"""`rota task add`: one task, from options or a file."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from rota.cli.exits import CommandFailed
from rota.cli.output import Json, note, print_json
from rota.cli.remote.apply.planning import of_answer
from rota.cli.remote.apply.rendering import step_lines
from rota.cli.remote.arguments import DryRun, Input, given, json_argument, local_now
from rota.cli.remote.documents.reading import DocumentError, read_object
from rota.cli.remote.service import at, connected
from rota.cli.remote.tasks import definition
from rota.cli.remote.text.lines import print_lines
from rota.cli.remote.text.times import local


def add_task(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Its name; may also be in the file.")] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            help="YAML or JSON with the definition; options replace its fields. `-`: standard input.",
        ),
    ] = None,
    handler: Annotated[str | None, typer.Option(help="What runs: a handler by its name.")] = None,
    url: Annotated[str | None, typer.Option(help="What is called over HTTP.")] = None,
    method: Annotated[str | None, typer.Option(help="With --url; POST if it is left out.")] = None,
    cron: Annotated[str | None, typer.Option(help='A cron expression: "0 9 * * 1-5".')] = None,
    every: Annotated[str | None, typer.Option(help="An interval: 15m, 1h30m.")] = None,
    at_time: Annotated[str | None, typer.Option("--at", help="Once, at a time.")] = None,
    delay: Annotated[str | None, typer.Option(help="Once, after that long: 2h.")] = None,
    after: Annotated[
        list[str] | None, typer.Option(help="After these tasks have succeeded.")
    ] = None,
    manual: Annotated[bool, typer.Option("--manual", help="Only when it is asked to.")] = False,
    timezone: Annotated[
        str | None, typer.Option("--timezone", "--tz", help="Of --cron and --at.")
    ] = None,
    input: Input = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; several are possible.")] = None,
    queue: Annotated[str | None, typer.Option(help="The queue of its runs.")] = None,
    timeout: Annotated[str | None, typer.Option(help="How long a run may take: 30s, 1h.")] = None,
    paused: Annotated[
        bool, typer.Option("--paused", help="It does not fire until it is resumed.")
    ] = False,
    on_conflict: Annotated[
        str, typer.Option(help="If there is such a task: reject, keep, update or replace.")
    ] = "reject",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Register one task. For tasks that are kept in files, use `rota apply`."""
    schedule = definition.schedule(
        cron=cron,
        every=every,
        at=at_time,
        delay=delay,
        after=after,
        manual=manual,
        timezone=timezone,
    )
    options = given(
        name=name,
        handler=handler,
        target=definition.target(url, method),
        schedule=schedule,
        description=description,
        tags=tag,
        queue=queue,
        timeout=timeout,
        paused=True if paused else None,
    )
    if input is not None:
        options["input"] = json_argument(input)
    body = definition.with_options(_of_file(file), options)
    query = {"on_conflict": on_conflict} | ({"dry_run": "true"} if dry_run else {})
    with connected(context) as service:
        answer = service.call("POST", at("tasks"), query=query, body=body)
    if as_json:
        print_json(answer)
    elif dry_run:
        print_lines(step_lines(of_answer(str(body["name"]), answer)))
    else:
        _report(answer, local_now())


def _of_file(path: str | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        return read_object(path)
    except DocumentError as error:
        raise CommandFailed(str(error)) from None


def _report(answer: Mapping[str, Any], now: datetime) -> None:
    """Print what was registered in a sentence: its outcome, and when it fires."""
    upcoming = answer["upcoming"]
    times = ", ".join(local(each) for each in upcoming)
    fires = f"fires at {times} ({now.tzname()})" if times else "has no fire times of its own"
    typer.echo(f"{answer['name']}: {answer['outcome']}, {fires}.")
    if answer.get("differs"):
        note("It was kept as it is, and its definition is another one.")
    for warning in answer["warnings"]:
        note(f"Warning ({warning['code']}): {warning['message']}")
