"""Http runs per second to a target that answers at once, beside Celery with Redis calling it with httpx."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.celery_peer import celery_peer
from benchmarks.client import answers, ask, wait_until
from benchmarks.figures import Line, median, per_second
from benchmarks.processes import check_alive, free_port, running
from benchmarks.rota import Rota, migrated, serving, sqlite_url
from benchmarks.runs import as_instant
from benchmarks.workspace import subfolder

_TIMEOUT = 90.0
_START_TIMEOUT = 30.0
# What registering a task may take, so that all are there when they are due.
_PACES = tuple(timedelta(milliseconds=each) for each in (1, 2, 4))
_HEAD_START = timedelta(seconds=2)
_TITLE = "Http runs to a target that answers at once, against Celery with Redis and httpx"
_APART = "The same, each run of a task of its own, which has connections of its own"
_CONNECTIONS = "Connections opened for 1,000 calls, against a client in each of Celery's processes"
_QUERY = """
    SELECT count(*) AS number, max(run.finished_at) AS last
    FROM task JOIN run ON run.task_id = task.id
    WHERE task.name >= :first AND task.name < :end
        AND run.status = 'succeeded' AND run.result IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int = 3
    #: No further round begins after so many seconds.
    enough: float = 60
    rota: int = 3_000
    celery: int = 2_000


QUICK = Size(rounds=1, rota=300, celery=200)


@dataclass(frozen=True, slots=True)
class Measured:
    """Calls per second, and how many connections were opened for 1,000 of them."""

    rate: float
    connections: float


def benchmark(folder: Path, size: Size) -> list[Line]:
    """Return Rota's calls beside Celery's."""
    with ExitStack() as servers:
        port = servers.enter_context(_target(folder))
        # Targets on this machine are refused unless they are allowed.
        settings = {"ROTA_HTTP_TARGETS": "127.0.0.0/8"}
        rota = servers.enter_context(serving(migrated(sqlite_url(folder)), folder, settings))
        celery = servers.enter_context(celery_peer(subfolder(folder, "celery")))
        url = f"http://127.0.0.1:{port}/calls"
        contestants: dict[str, Callable[[], float]] = {
            "rota": partial(rota_calls, rota, url, size.rota),
            "apart": partial(rota_calls_apart, rota, url, size.rota),
        }
        if celery is not None:
            contestants["celery"] = partial(celery.calls, url, size.celery, _TIMEOUT)
        found: dict[str, list[Measured]] = {name: [] for name in contestants}
        until = time.monotonic() + size.enough
        for number in range(size.rounds):
            if number and time.monotonic() > until:
                break
            for name, contestant in contestants.items():
                found[name].append(_counted(port, contestant))
    return lines({name: _middle(each) for name, each in found.items()})


def rota_calls(rota: Rota, url: str, count: int) -> float:
    """Return runs of one task per second, from the instant at which its queue opens until the last one's commit."""
    name = f"http-of-one-{datetime.now(UTC):%H%M%S}"
    queue = f"/v1/queues/{name}"
    ask(rota.port, "PUT", queue, {"paused": True}, expect=201)
    manual = {"schedule": {"type": "manual"}, "overlap_policy": "allow", "queue": name}
    rota.register([_task(name, url) | manual | {"retention": {"runs": count}}])
    for _ in range(count):
        ask(rota.port, "POST", f"/v1/tasks/{name}/run", {}, expect=202)
    opened = datetime.now(UTC)
    ask(rota.port, "PUT", queue, {"paused": False})
    return (
        count
        / (_last_end(rota, {"first": name, "end": f"{name}."}, count) - opened).total_seconds()
    )


def rota_calls_apart(rota: Rota, url: str, count: int) -> float:
    """Return runs of as many tasks per second, from the instant at which all are due until the last one's commit."""
    for pace in _PACES:
        due = (datetime.now(UTC) + count * pace + _HEAD_START).replace(microsecond=0)
        prefix = f"http-{due:%H%M%S}"
        once = {"schedule": {"type": "once", "at": due.isoformat()}}
        rota.register([_task(f"{prefix}-{number}", url) | once for number in range(count)])
        in_time = datetime.now(UTC) < due
        last = _last_end(rota, {"first": f"{prefix}-", "end": f"{prefix}."}, count)
        if in_time:
            return count / (last - due).total_seconds()
    raise TimeoutError(f"registering {count} tasks took longer than {count * _PACES[-1]}")


def lines(found: Mapping[str, Measured]) -> list[Line]:
    """Return the report; without Celery's figures it says why."""
    rota, apart, celery = found["rota"], found["apart"], found.get("celery")
    if celery is None:
        without = "(no redis-server, so no Celery)"
        return [
            Line(what=f"{_TITLE} {without}", rota=per_second(rota.rate)),
            Line(what=f"{_APART} {without}", rota=per_second(apart.rate)),
            Line(what=f"{_CONNECTIONS} {without}", rota=f"{rota.connections:,.0f}"),
        ]
    return [
        Line(
            what=_TITLE,
            rota=per_second(rota.rate),
            peer=per_second(celery.rate),
            ratio=rota.rate / celery.rate,
            limit=3,
        ),
        Line(
            what=_APART,
            rota=per_second(apart.rate),
            peer=per_second(celery.rate),
            ratio=apart.rate / celery.rate,
        ),
        Line(
            what=_CONNECTIONS,
            rota=f"{rota.connections:,.0f}",
            peer=f"{celery.connections:,.0f}",
        ),
    ]


def _task(name: str, url: str) -> dict[str, Any]:
    return {"name": name, "handler": "http", "target": {"url": url}, "input": {"number": name}}


def _last_end(rota: Rota, names: Mapping[str, str], count: int) -> datetime:
    """Wait until so many runs have succeeded; return when the last one ended."""
    ended = partial(_has_ended, rota, names, count)
    wait_until(ended, f"{count} runs have ended", _TIMEOUT, pause=0.25)
    [row] = rota.read(_QUERY, **names)
    return as_instant(row.last)


def _has_ended(rota: Rota, names: Mapping[str, str], count: int) -> bool:
    [row] = rota.read(_QUERY, **names)
    return bool(row.number >= count)


def _counted(port: int, contestant: Callable[[], float]) -> Measured:
    before = ask(port, "GET", "/counts")
    rate = contestant()
    after = ask(port, "GET", "/counts")
    calls = after["calls"] - before["calls"]
    return Measured(rate, 1_000 * (after["connections"] - before["connections"]) / calls)


def _middle(found: list[Measured]) -> Measured:
    return Measured(
        median([each.rate for each in found]), median([each.connections for each in found])
    )


@contextmanager
def _target(folder: Path) -> Iterator[int]:
    port, log = free_port(), folder / "target.log"
    with running("benchmarks.peers.http_target", "--port", str(port), log=log) as child:

        def ready() -> bool:
            check_alive(child, log)
            return answers(port, "/counts")

        wait_until(ready, "the target is ready", _START_TIMEOUT)
        yield port
        check_alive(child, log)
