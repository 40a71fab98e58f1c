"""`rota stats`: how runs went, and what became of fire times."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rota.cli.output import Json, print_fields, print_json
from rota.cli.remote.arguments import given, local_now
from rota.cli.remote.service import at, connected
from rota.cli.remote.text.times import relative, short_duration


def stats(
    context: typer.Context,
    task: Annotated[str | None, typer.Argument(help="One task; all, if it is left out.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Of tasks that have one of these tags.")
    ] = None,
    window: Annotated[str, typer.Option(help="How long until now: 24h, 7d, 30d.")] = "24h",
    as_json: Json = False,
) -> None:
    """Show how runs went: successes, durations, lateness, missed fire times."""
    path = at("stats") if task is None else at("tasks", task, "stats")
    with connected(context) as service:
        found = service.get(path, window=window, **given(tag=tag if task is None else None))
    if as_json:
        print_json(found)
        return
    print_fields(_fields(found))


def _fields(found: Mapping[str, Any]) -> dict[str, object]:
    now = local_now()
    completeness = found["completeness"]
    fields: dict[str, object] = {"runs": found["runs"]["total"]}
    fields |= {status: count for status, count in found["runs"]["by_status"].items() if count}
    fields |= {
        "success rate": _percent(found["success_rate"]),
        "took": _quantiles(found["duration"]),
        "late": _quantiles(found["lateness"]),
        "fire times": completeness["due"],
        "completeness": _percent(completeness["ratio"]),
        "missed": _reasons(completeness["missed"]),
        "skipped fire times": _reasons(completeness["skipped"]),
        "last success": relative(found["last_success_at"], now),
        "last failure": relative(found["last_failure_at"], now),
    }
    return fields


def _percent(ratio: float | None) -> str | None:
    return None if ratio is None else f"{100 * ratio:.1f} %"


def _quantiles(found: Mapping[str, Any]) -> str | None:
    if not found["count"]:
        return None
    return ", ".join(f"{name} {short_duration(found[name])}" for name in ("p50", "p95", "p99"))


def _reasons(found: Mapping[str, Any]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in found["by_reason"].items())
    return f"{found['total']}{f' ({reasons})' if reasons else ''}"
