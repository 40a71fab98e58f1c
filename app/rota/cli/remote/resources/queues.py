"""`rota queue`: queues, their limits, and what waits in them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from rota.cli.exits import CommandFailed
from rota.cli.output import Json, print_fields, print_json, print_table
from rota.cli.registry import group_of_commands
from rota.cli.remote.arguments import local_now
from rota.cli.remote.service import Service, at, connected
from rota.cli.remote.text.times import relative

group = group_of_commands("Queues: limits, and what waits in them.")

_Name = Annotated[str, typer.Argument(help="The name of the queue.", metavar="QUEUE")]
_COLUMNS = ("name", "paused", "running", "limit", "queued", "blocked", "oldest")


@group.command("list")
def list_queues(context: typer.Context, as_json: Json = False) -> None:
    """List the queues."""
    with connected(context) as service:
        found = [*service.pages(at("queues"))]
    if as_json:
        print_json(found)
        return
    now = local_now()
    print_table(_COLUMNS, (_row(each, now) for each in found), empty="There are no queues.")


def _row(queue: Mapping[str, Any], now: datetime) -> tuple[object, ...]:
    paused = "paused" if queue["paused"] else None
    oldest = relative(queue["oldest_queued_at"], now)
    return (
        queue["name"],
        paused,
        queue["running"],
        queue["concurrency"],
        queue["queued"],
        queue["blocked"],
        oldest,
    )


@group.command("show")
def show_queue(context: typer.Context, name: _Name, as_json: Json = False) -> None:
    """Show a queue."""
    with connected(context) as service:
        queue = service.get(at("queues", name))
    _show(queue, as_json=as_json)


@group.command("set")
def set_queue(
    context: typer.Context,
    name: _Name,
    concurrency: Annotated[
        str | None,
        typer.Option(
            help="How many of its runs run at a time, over all replicas; `none`: any number."
        ),
    ] = None,
    pause: Annotated[
        bool | None, typer.Option("--pause/--resume", help="Whether none of its runs starts.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change settings of a queue; what is not given stays."""
    if concurrency is None and pause is None:
        raise CommandFailed("Give --concurrency, --pause or --resume.")
    with connected(context) as service:
        body = _settings(service, name)
        body |= {} if concurrency is None else {"concurrency": _limit(concurrency)}
        body |= {} if pause is None else {"paused": pause}
        queue = service.call("PUT", at("queues", name), body=body)
    _show(queue, as_json=as_json)


def _settings(service: Service, name: str) -> dict[str, Any]:
    """Return the present settings; the defaults of a queue that does not exist yet."""
    found = service.found(at("queues", name)) or {"concurrency": None, "paused": False}
    return {each: found[each] for each in ("concurrency", "paused")}


def _limit(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal():
        raise CommandFailed(f"--concurrency is a number or `none`, not {text!r}.")
    return int(text)


def _show(queue: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(queue)
    else:
        print_fields(dict(zip(_COLUMNS, _row(queue, local_now()), strict=True)))
