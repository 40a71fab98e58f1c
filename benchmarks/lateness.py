"""How late runs start at a steady rate: interval tasks of one second, their fire times spread over the second.

On SQLite a million other tasks are registered that are not due, for Rota and for APScheduler.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

from benchmarks.figures import Line, Spread, spread
from benchmarks.filling import fill
from benchmarks.processes import measured
from benchmarks.rota import Rota, migrated, serving, sqlite_url
from benchmarks.runs import as_instant
from benchmarks.workspace import subfolder

_HEAD_START = timedelta(seconds=2)
_PATIENCE = 60.0
_SETTLE = 1.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    per_second: int = 200
    seconds: float = 20
    #: On PostgreSQL, which has no aim.
    postgres_seconds: float = 5
    warm_up: float = 3
    #: How many tasks are registered beside those that fire.
    idle: int = 1_000_000


QUICK = Size(seconds=5, postgres_seconds=5, warm_up=1, idle=20_000)


@dataclass(frozen=True, slots=True)
class _Lateness:
    """What was measured: `handler` is when the handler was called, `claim` what the service itself records."""

    per_second: float
    handler: Spread
    claim: Spread | None = None


def benchmark(folder: Path, size: Size, postgres: str | None = None) -> list[Line]:
    """Return the lateness beside APScheduler's; `postgres` is the URL of an empty database."""
    url = sqlite_url(folder)
    fill(url, size.idle, due=0)
    found = {"rota": _rota_lateness(url, folder, size)}
    found["apscheduler"] = _apscheduler_lateness(folder, size)
    if postgres:
        apart, shorter = subfolder(folder, "postgres"), replace(size, seconds=size.postgres_seconds)
        found["postgres"] = _rota_lateness(migrated(postgres), apart, shorter)
    return _lines(found, size)


def _rota_lateness(url: str, folder: Path, size: Size) -> _Lateness:
    with ExitStack() as stack:
        rota = stack.enter_context(serving(url, folder))
        first = datetime.now(UTC).replace(microsecond=0) + _HEAD_START
        _register(rota, first, size.per_second)
        start = first + timedelta(seconds=size.warm_up)
        end = start + timedelta(seconds=size.seconds)
        Event().wait((end - datetime.now(UTC)).total_seconds() + _SETTLE)
        return _read(rota, start, end)


def _register(rota: Rota, first: datetime, number: int) -> None:
    anchors = [first + timedelta(seconds=index / number) for index in range(number)]
    rota.register(
        [
            {
                "name": f"every-second-{index}",
                "handler": "report-lateness",
                "schedule": {
                    "type": "interval",
                    "every": 1,
                    "anchor": anchor.isoformat(timespec="milliseconds"),
                },
            }
            for index, anchor in enumerate(anchors)
        ]
    )


def _read(rota: Rota, start: datetime, end: datetime) -> _Lateness:
    rows = rota.read("SELECT scheduled_for, first_started_at, result, status FROM run")
    within = [row for row in rows if start <= as_instant(row.scheduled_for) < end]
    succeeded = [row for row in within if row.status == "succeeded"]
    assert len(succeeded) > len(within) * 0.99, "fire times were skipped or runs failed"
    claims = [
        (as_instant(row.first_started_at) - as_instant(row.scheduled_for)).total_seconds() * 1000
        for row in succeeded
    ]
    calls = [float(row.result) for row in succeeded]
    rate = len(succeeded) / (end - start).total_seconds()
    return _Lateness(rate, spread(calls), spread(claims))


def _apscheduler_lateness(folder: Path, size: Size) -> _Lateness:
    options = {
        "--folder": subfolder(folder, "apscheduler"),
        "--jobs": size.per_second,
        "--warm-up": size.warm_up,
        "--seconds": size.seconds,
        "--idle": size.idle,
    }
    words = (str(word) for pair in options.items() for word in pair)
    module = "benchmarks.peers.apscheduler_lateness"
    figures = measured(module, *words, timeout=size.seconds + size.warm_up + _PATIENCE)
    rate = figures.pop("per_second")
    return _Lateness(rate, Spread(**figures))


def _lines(found: Mapping[str, _Lateness], size: Size) -> list[Line]:
    rota, peer = found["rota"], found["apscheduler"]
    steady = f"a steady {size.per_second} fires a second"
    what = f"{steady} for {size.seconds:g} s, {size.idle:,} other tasks registered"
    lines = [
        Line(
            what=f"Lateness when the handler is called, {what}; p99 is the aim",
            rota=_shown(rota),
            peer=f"APScheduler: {_shown(peer)}",
            ratio=rota.handler.p99,
            unit="ms",
            aim="at most",
            limit=25,
        ),
        Line(what=f"Lateness as the run records it (its claim), {what}", rota=str(rota.claim)),
    ]
    if "postgres" in found:
        postgres = found["postgres"]
        lines.append(
            Line(
                what=f"Lateness on PostgreSQL when the handler is called, {steady}",
                rota=_shown(postgres),
                ratio=postgres.handler.p99,
                unit="ms",
            )
        )
    return lines


def _shown(found: _Lateness) -> str:
    return f"{found.handler} at {found.per_second:.0f}/s"
