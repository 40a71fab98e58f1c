"""`rota run list`, `show` and `logs`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from rota.cli.escaping import printable
from rota.cli.output import Json, print_fields, print_json, print_json_line, print_table
from rota.cli.remote.arguments import All, Limit, RunId, given, local_now
from rota.cli.remote.runs.filters import Filters, filters
from rota.cli.remote.runs.following import log_line
from rota.cli.remote.service import at, connected
from rota.cli.remote.text.errors import error_line
from rota.cli.remote.text.lines import print_lines
from rota.cli.remote.text.times import local, relative, short_duration
from rota.cli.remote.text.values import shortened

_COLUMNS = ("id", "task", "status", "reason", "trigger", "scheduled for", "ended", "took", "error")


def list_runs(
    context: typer.Context,
    task: Filters.Task = None,
    tag: Filters.Tag = None,
    all_tags: Filters.AllTags = None,
    status: Filters.Status = None,
    failed: Filters.Failed = False,
    reason: Filters.Reason = None,
    error: Filters.Error = None,
    trigger: Filters.Trigger = None,
    since: Filters.Since = None,
    until: Filters.Until = None,
    limit: Limit = 20,
    every: All = False,
    as_json: Json = False,
) -> None:
    """List runs, newest fire time first."""
    chosen = filters(
        task=task,
        tag=tag,
        all_tags=all_tags,
        status=status,
        failed=failed,
        reason=reason,
        error=error,
        trigger=trigger,
        since=since,
        until=until,
    )
    with connected(context) as service:
        found = service.some(at("runs"), chosen, None if every else limit)
    if as_json:
        print_json(found.items)
        return
    now = local_now()
    print_table(
        _COLUMNS, (_row(each, now) for each in found.items), empty="There are no such runs."
    )
    found.note_more()


def _row(run: Mapping[str, Any], now: datetime) -> tuple[object, ...]:
    count = "" if run["count"] == 1 else f" ({run['count']:,} fire times)"
    return (
        run["id"],
        run["task"],
        run["status"],
        run["reason"] or (", ".join(run["waiting_on"]) or None),
        run["trigger"],
        f"{local(run['scheduled_for'])}{count}",
        relative(run["finished_at"], now),
        short_duration(run["duration"]),
        error_line(run["error"]),
    )


def show_run(context: typer.Context, id: RunId, as_json: Json = False) -> None:
    """Show a run: how it is, its attempts, its result or error."""
    with connected(context) as service:
        run = service.get(at("runs", id))
    if as_json:
        print_json(run)
        return
    print_fields(_fields(run))
    if run["attempts"]:
        typer.echo()
        print_table(
            ("attempt", "outcome", "started", "took", "error"),
            map(_attempt, run["attempts"]),
        )
    if run["result"] is not None:
        typer.echo("\nresult")
        print_json(run["result"])
    if run["error"] is not None and run["error"].get("traceback"):
        typer.echo(f"\n{printable(run['error']['traceback'], lines=True)}")


def _fields(run: Mapping[str, Any]) -> dict[str, object]:
    error = run["error"]
    progress = run["progress"] or {}
    return given(
        id=run["id"],
        task=run["task"],
        status=run["status"],
        reason=run["reason"],
        waiting_on=", ".join(run["waiting_on"]) or None,
        trigger=run["trigger"],
        scheduled_for=local(run["scheduled_for"]),
        started=None if run["started_at"] is None else local(run["started_at"]),
        ended=None if run["finished_at"] is None else local(run["finished_at"]),
        not_before=None if run["not_before"] is None else local(run["not_before"]),
        took=None if run["duration"] is None else short_duration(run["duration"]),
        late=None if run["lateness"] is None else short_duration(run["lateness"]),
        progress=progress.get("message") or progress.get("fraction"),
        input=shortened(run["input"]),
        error=None if error is None else f"{error['type']}: {error['message']}",
        rerun_of=run["rerun_of"],
        queue=run["queue"],
    )


def _attempt(attempt: Mapping[str, Any]) -> tuple[object, ...]:
    started, finished = attempt["started_at"], attempt["finished_at"]
    took = (
        None
        if finished is None
        else short_duration(
            (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()
        )
    )
    return (
        attempt["attempt"],
        attempt["outcome"],
        local(started),
        took,
        error_line(attempt["error"]),
    )


def show_logs(
    context: typer.Context,
    id: RunId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the log of a run; `--json` prints an object a line."""
    with connected(context) as service:
        for line in service.log_of(id) if follow else service.pages(at("runs", id, "logs")):
            if as_json:
                print_json_line(line)
            else:
                print_lines([log_line(line)])
