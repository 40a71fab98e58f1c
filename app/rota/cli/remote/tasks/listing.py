"""`rota task list` and `rota task show`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from rota.cli.output import Json, print_fields, print_json, print_table
from rota.cli.remote.arguments import All, Limit, TaskName, given, local_now
from rota.cli.remote.service import Service, at, connected
from rota.cli.remote.text.schedules import short
from rota.cli.remote.text.times import local, relative
from rota.cli.remote.text.values import shortened

_COLUMNS = ("name", "status", "schedule", "next", "last run", "ended", "tags")


def list_tasks(
    context: typer.Context,
    tag: Annotated[list[str] | None, typer.Option(help="That have one of these tags.")] = None,
    all_tags: Annotated[list[str] | None, typer.Option(help="That have all of these tags.")] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="active, paused, completed, cancelled.")
    ] = None,
    handler: Annotated[list[str] | None, typer.Option(help="With one of these handlers.")] = None,
    queue: Annotated[list[str] | None, typer.Option(help="In one of these queues.")] = None,
    name_prefix: Annotated[str | None, typer.Option(help="Whose names begin so.")] = None,
    failing: Annotated[bool, typer.Option("--failing", help="Whose last run has failed.")] = False,
    limit: Limit = 50,
    every: All = False,
    as_json: Json = False,
) -> None:
    """List tasks, in the order of their names."""
    filters = given(
        tag=tag,
        all_tags=all_tags,
        status=status,
        handler=handler,
        queue=queue,
        name_prefix=name_prefix,
    ) | ({"failing": "true"} if failing else {})
    with connected(context) as service:
        found = service.some(at("tasks"), filters, None if every else limit)
    if as_json:
        print_json(found.items)
        return
    now = local_now()
    print_table(
        _COLUMNS, (_row(each, now) for each in found.items), empty="There are no such tasks."
    )
    found.note_more()


def _row(task: Mapping[str, Any], now: datetime) -> tuple[object, ...]:
    last = task.get("last_run") or {}
    return (
        task["name"],
        shown_status(task),
        short(task["schedule"]),
        relative(task["next_fire_at"], now),
        last.get("status"),
        relative(last.get("finished_at"), now),
        ",".join(task["tags"]) or None,
    )


def shown_status(task: Mapping[str, Any]) -> str:
    """Return the status of a task; of one that a hold keeps from firing, that."""
    return "held" if task.get("held_by") and task["status"] == "active" else str(task["status"])


def show_task(context: typer.Context, name: TaskName, as_json: Json = False) -> None:
    """Show a task: its definition, how it is, and when it fires next."""
    with connected(context) as service:
        task = service.get(at("tasks", name))
        upcoming = [] if as_json else _upcoming(service, name)
    if as_json:
        print_json(task)
        return
    print_fields(_fields(task, upcoming, local_now()))


def _upcoming(service: Service, name: str) -> list[str]:
    return [str(each) for each in service.get(at("tasks", name, "upcoming"), count=3)["items"]]


def _fields(task: Mapping[str, Any], upcoming: list[str], now: datetime) -> dict[str, object]:
    """Return what a reader wants to know first; `--json` has everything."""
    last = task["last_run"]
    return given(
        name=task["name"],
        description=task["description"] or None,
        status=shown_status(task),
        reason=task["status_reason"],
        held_by=", ".join(task.get("held_by") or ()) or None,
        handler=task["handler"],
        url=(task.get("target") or {}).get("url"),
        input=shortened(task["input"]),
        schedule=short(task["schedule"]),
        upcoming=", ".join(local(each) for each in upcoming) or None,
        last_run=None
        if last is None
        else f"{last['status']}, {relative(last['finished_at'], now)} ({last['id']})",
        last_success=relative(task["last_success_at"], now),
        failures_in_a_row=task["consecutive_failures"] or None,
        queue=task["queue"],
        tags=", ".join(task["tags"]) or None,
        generation=task["generation"],
        updated=relative(task["updated_at"], now),
    )
