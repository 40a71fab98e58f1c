"""The key-value table over HTTP and from handlers, beside Redis behind the same FastAPI and beside bare SQLite."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clients import CLIENTS, shown
from benchmarks.figures import Line, per_second
from benchmarks.kv_handlers import OPERATIONS_PER_RUN, in_runs, runs_with_one
from benchmarks.kv_http import TITLES, Rates, over_http
from benchmarks.processes import measured
from benchmarks.redis_peer import redis_peer
from benchmarks.rota import Rota, migrated, serving, sqlite_url
from benchmarks.traffic import TABLE
from benchmarks.workspace import subfolder

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured; `seconds` of each load."""

    rounds: int = 2
    #: No further round begins after so many seconds.
    enough: float = 15
    seconds: float = 1.0
    #: Runs that do many operations each, and runs that do one.
    runs_with_many: int = 200
    runs_with_one: int = 2_000


QUICK = Size(rounds=1, seconds=0.5, runs_with_many=50, runs_with_one=300)


def benchmark(folder: Path, size: Size, postgres: str | None = None) -> list[Line]:
    """Return Rota's key-value table beside others; `postgres` is the URL of an empty database."""
    bare = _bare_sqlite(folder, size)
    with ExitStack() as servers:
        rota = servers.enter_context(serving(migrated(sqlite_url(folder)), folder))
        _register(rota)
        ports = {"rota": rota.port}
        redis = servers.enter_context(redis_peer(folder))
        if redis is not None:
            ports["redis"] = redis
        if postgres:
            apart = subfolder(folder, "postgres")
            second = servers.enter_context(serving(migrated(postgres), apart))
            _register(second)
            ports["postgres"] = second.port
        http = over_http(ports, size.rounds, size.seconds, size.enough)
        many = in_runs(rota, size.runs_with_many)
        one = runs_with_one(rota, size.runs_with_one)
    lines = [*http_lines(http), *_bare_lines(http["rota"], bare)]
    return [*lines, *_handler_lines(many, one, http["rota"])]


def _register(rota: Rota) -> None:
    """Register the task that has the table; it is not due here."""
    schedule = {"type": "once", "delay": "30d"}
    rota.register([{"name": TABLE, "handler": "noop", "schedule": schedule}])


def _bare_sqlite(folder: Path, size: Size) -> dict[str, float]:
    options = {"--folder": folder, "--seconds": size.seconds, "--group": CLIENTS}
    words = (str(word) for pair in options.items() for word in pair)
    found = measured("benchmarks.peers.bare_sqlite", *words, timeout=size.seconds * 2 + _PATIENCE)
    return {name: float(rate) for name, rate in found.items()}


def http_lines(http: Mapping[str, Rates]) -> Iterator[Line]:
    """Yield what came over HTTP, by server, beside Redis if there is one."""
    rota = http["rota"]
    for operation, title in TITLES.items():
        what = f"Kv over HTTP: {title}"
        if "redis" in http:
            peer = http["redis"][operation]
            yield Line(
                what=f"{what}, against FastAPI over Redis, {CLIENTS} clients",
                rota=shown(rota[operation]),
                peer=shown(peer),
                ratio=rota[operation].per_second / peer.per_second,
            )
        else:
            yield Line(
                what=f"{what}, {CLIENTS} clients (there is no redis-server here)",
                rota=shown(rota[operation]),
            )
    yield from _postgres_lines(http)


def _postgres_lines(http: Mapping[str, Rates]) -> Iterator[Line]:
    for operation, found in http.get("postgres", {}).items():
        same = http["rota"][operation]
        yield Line(
            what=f"Kv over HTTP on PostgreSQL: {TITLES[operation]}, the same on SQLite",
            rota=shown(found),
            peer=shown(same),
            ratio=found.per_second / same.per_second,
        )


def _bare_lines(rota: Rates, bare: Mapping[str, float]) -> Iterator[Line]:
    limits = {"single": "an upsert per commit", "grouped": f"{CLIENTS} upserts per commit"}
    for name, title in limits.items():
        yield Line(
            what=f"Kv over HTTP: put, against bare SQLite without HTTP, {title}",
            rota=per_second(rota["put"].per_second),
            peer=per_second(bare[name]),
            ratio=rota["put"].per_second / bare[name],
        )


def _handler_lines(
    many: Mapping[str, float], one: Mapping[str, float], rota: Rates
) -> Iterator[Line]:
    for operation, rate in many.items():
        over = rota[operation].per_second
        yield Line(
            what=f"Kv from handlers: {operation}, {OPERATIONS_PER_RUN} in a run, one per request over HTTP",
            rota=per_second(rate),
            peer=per_second(over),
            ratio=rate / over,
        )
    yield Line(
        what="Runs that increment an entry, the same that set one",
        rota=per_second(one["increment"]),
        peer=per_second(one["put"]),
        ratio=one["increment"] / one["put"],
    )
