"""Responses to registrations with `?dry_run=true`."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response

from rota.api.http.etags import etag
from rota.api.http.responses import reply, send
from rota.api.http.services import Services
from rota.api.tasks.dry_runs.response_models import (
    MOST_COMPARED_IN_BATCH,
    MOST_ITEMS,
    MOST_TIMES,
    MOST_TIMES_IN_BATCH,
    BatchDryRunOut,
    ChangedFieldOut,
    DiffTimeOut,
    DryRunOut,
    FireTimesOut,
)
from rota.api.tasks.rendering import show_made
from rota.api.tasks.views import show_finding
from rota.domain.access.principal import Principal
from rota.domain.dry_runs.changes import MOST_CHANGES, FieldChange
from rota.domain.dry_runs.fire_times import MOST_COMPARED, FireTimeDiff, diff_fire_times
from rota.domain.primitives.finding import Finding
from rota.domain.primitives.json.unset import UNSET
from rota.domain.primitives.times.instants import format_instant
from rota.domain.step_budget import FOR_A_PAGE, limited_to
from rota.domain.tasks.definition import Registered
from rota.domain.time_zones.clock_changes import clock_change
from rota.domain.time_zones.zone import zone
from rota.errors import TooCostly, Unplannable
from rota.store.access.quotas import within_registration
from rota.store.dry_runs import DryRun, One, WouldRegister
from rota.store.tasks.declaration import Registration
from rota.store.tasks.registration import Register, RegisterAll

DryRunQuery = Annotated[
    bool,
    Query(
        description="Return what would change, the fire times of the next 90 days among it, and write nothing. What "
        "would be refused is refused. An Idempotency-Key is not used up.",
        examples=[False],
    ),
]
_NOT_COMPARED = Finding(
    "too_costly",
    "The fire times that would change are left out: they take too long to find within this request.",
)
_SAME = frozenset({Registered.UNCHANGED, Registered.KEPT})


async def try_one(services: Services, caller: Principal, command: Register) -> WouldRegister:
    """Return what a registration would do; raises what it would raise."""
    one = One(within_registration(caller, command, seeds=bool(command.seeds)))
    [would] = await services.writer.run(DryRun(one, (command,), 1))
    return would


async def dry_run_one(
    services: Services, caller: Principal, command: Register, *, timeout_given: bool
) -> Response:
    """Respond with what a registration would do; raises what it would raise."""
    return await show_one(
        services, await try_one(services, caller, command), timeout_given=timeout_given
    )


async def show_one(services: Services, would: WouldRegister, *, timeout_given: bool) -> Response:
    """Respond with what one registration would do; the ETag is that of the task as it is, for `If-Match`."""
    shown = await services.computing.run(
        _show, services, would, timeout_given=timeout_given, times=MOST_TIMES, most=MOST_COMPARED
    )
    before = would.made.before
    headers = None if before is None else {"etag": etag(before.id, before.generation)}
    return send(reply(200, shown, headers))


async def dry_run_all(services: Services, caller: Principal, items: Sequence[Register]) -> Response:
    """Respond with what a batch would do; raises what it would raise."""
    seeds = any(each.seeds for each in items)
    command = within_registration(caller, RegisterAll(tuple(items)), seeds=seeds)
    would = await services.writer.run(DryRun(command, items, MOST_ITEMS))
    return send(reply(200, await services.computing.run(_show_all, services, would)))


def _show_all(services: Services, would: Sequence[WouldRegister]) -> BatchDryRunOut:
    outcomes = [each.made.outcome for each in would]
    changing = [each for each in would if each.changes or each.made.outcome not in _SAME]
    with limited_to(FOR_A_PAGE):
        items = [_show_in_batch(services, each) for each in changing[:MOST_ITEMS]]
    return {
        "created": outcomes.count(Registered.CREATED),
        "updated": outcomes.count(Registered.UPDATED),
        "unchanged": outcomes.count(Registered.UNCHANGED),
        "kept": outcomes.count(Registered.KEPT),
        "replaced": outcomes.count(Registered.REPLACED),
        "names": [each.made.task.name for each in would],
        "items": items,
        "items_omitted": max(len(changing) - MOST_ITEMS, 0),
    }


def _show_in_batch(services: Services, would: WouldRegister) -> DryRunOut:
    return _show(
        services,
        would,
        timeout_given=False,
        times=MOST_TIMES_IN_BATCH,
        most=MOST_COMPARED_IN_BATCH,
    )


def _show(
    services: Services, would: WouldRegister, *, timeout_given: bool, times: int, most: int
) -> DryRunOut:
    made = would.made
    shown = _registration(services, made, timeout_given=timeout_given)
    diff = _diff(made, services.clock.now(), most)
    if diff is None:
        shown["warnings"].append(show_finding(_NOT_COMPARED))
    return {
        "name": made.task.name,
        "result": made.outcome,
        "applied": made.applied,
        "status": made.task.status,
        "next_fire_at": shown["next_fire_at"],
        "changes": [_show_change(each) for each in would.changes[:MOST_CHANGES]],
        "changes_omitted": max(len(would.changes) - MOST_CHANGES, 0),
        "fire_times": None if diff is None else show_diff(diff, times),
        "warnings": shown["warnings"],
    }


def _registration(services: Services, made: Registration, *, timeout_given: bool) -> dict[str, Any]:
    try:
        return show_made(services, made, timeout_given=timeout_given)
    except TooCostly:
        return show_made(services, made, timeout_given=timeout_given, look_ahead=False)


def _diff(made: Registration, now: datetime, most: int) -> FireTimeDiff | None:
    try:
        return diff_fire_times(made.before, made.task, now, most)
    except TooCostly:
        return None


def _show_change(change: FieldChange) -> ChangedFieldOut:
    shown: ChangedFieldOut = {"path": change.path}
    if change.before is not UNSET:
        shown["before"] = change.before
    if change.after is not UNSET:
        shown["after"] = change.after
    return shown


def show_diff(diff: FireTimeDiff, most: int) -> FireTimesOut:
    """Return a diff with up to `most` fire times in each of its lists."""
    longest = max(map(len, (diff.appear, diff.vanish, diff.move)))
    return {
        "from": format_instant(diff.begin),
        "until": format_instant(diff.until),
        "compared_until": format_instant(diff.compared_until),
        "appear": _show_times(diff.appear[:most], diff.zone_after),
        "vanish": _show_times(diff.vanish[:most], diff.zone_before),
        "move": [
            {
                "from": _show_time(move.before, diff.zone_before),
                "to": _show_time(move.after, diff.zone_after),
            }
            for move in diff.move[:most]
        ],
        "counts": {
            "appear": len(diff.appear),
            "vanish": len(diff.vanish),
            "move": len(diff.move),
        },
        "truncated": longest > most or not diff.is_complete,
    }


def _show_times(times: Iterable[datetime], name: str) -> list[DiffTimeOut]:
    return [_show_time(at, name) for at in times]


def _show_time(at: datetime, name: str) -> DiffTimeOut:
    try:
        place, change = zone(name), clock_change(name, at)
    except Unplannable:  # a zone that is no longer known
        place, change = zone("UTC"), None
    local = at.astimezone(place).isoformat(timespec="milliseconds")
    return {"at": format_instant(at), "local": local, "dst": change}
