"""No-op runs per second, each with its result and one kv entry committed: Rota, APScheduler and Huey."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.client import wait_until
from benchmarks.figures import Line, median, per_second
from benchmarks.processes import measured
from benchmarks.rota import Rota, migrated, serving, sqlite_url
from benchmarks.workspace import subfolder, temporary_folder

# The best of 1, 5, 10, 20 threads and of 1, 2, 4, 8 workers on two processors.
_APSCHEDULER_THREADS = 10
_HUEY_WORKERS = 4
_TIMEOUT = 90.0
# What registering a task may take, so that all are there when they are due: the first that is enough counts.
_PACES = tuple(timedelta(milliseconds=each) for each in (0.5, 1, 2, 4))
_HEAD_START = timedelta(seconds=2)
# Measurements without an aim, which take as long as the others.
_ONCE = {"postgres"}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int = 3
    #: No further round begins after so many seconds.
    enough: float = 30
    rota: int = 5_000
    apscheduler: int = 1_000
    huey: int = 2_000


QUICK = Size(rounds=1, rota=1_000, apscheduler=200, huey=300)


def benchmark(folder: Path, size: Size, postgres: str | None = None) -> list[Line]:
    """Return Rota's runs beside its peers'; `postgres` is the URL of an empty database."""
    with ExitStack() as servers:
        rota = servers.enter_context(serving(migrated(sqlite_url(folder)), folder))
        contestants: dict[str, Callable[[], float]] = {
            "async": partial(rota_runs, rota, "noop", size.rota),
            "def": partial(rota_runs, rota, "noop-def", size.rota),
            "apscheduler": partial(_apscheduler_runs, folder, size.apscheduler),
            "apscheduler, tuned": partial(_apscheduler_runs, folder, size.apscheduler, tuned=True),
            "huey": partial(_huey_runs, folder, size.huey),
            "huey, tuned": partial(_huey_runs, folder, size.huey, tuned=True),
        }
        if postgres:
            apart = subfolder(folder, "postgres")
            second = servers.enter_context(serving(migrated(postgres), apart))
            contestants["postgres"] = partial(rota_runs, second, "noop", size.rota)
        found: dict[str, list[float]] = {name: [] for name in contestants}
        until = time.monotonic() + size.enough
        for number in range(size.rounds):
            if number and time.monotonic() > until:
                break
            for name, contestant in contestants.items():
                if number == 0 or name not in _ONCE:
                    found[name].append(contestant())
    return _lines({name: median(rates) for name, rates in found.items()})


def rota_runs(
    rota: Rota,
    handler: str,
    count: int,
    *,
    prepare: Callable[[str], None] = lambda _name: None,
    paces: Sequence[timedelta] = _PACES,
) -> float:
    """Return runs per second, from the instant at which all are due until the last one's commit.

    Each is of a task of its own, whose name `prepare` gets; `paces` are what both may take for each. The
    handler writes the entry `last`, or finds it there.
    """
    for pace in paces:
        due = (datetime.now(UTC) + count * pace + _HEAD_START).replace(microsecond=0)
        prefix = f"{handler}-{due:%H%M%S}"
        names = [f"{prefix}-{number}" for number in range(count)]
        rota.register([_task(name, handler, due) for name in names])
        for name in names:
            prepare(name)
        in_time = datetime.now(UTC) < due
        ended = _Ended(rota, prefix)
        wait_until(partial(ended.are, count), f"{count} runs have ended", _TIMEOUT, pause=0.25)
        if in_time:
            return count / (ended.last - due).total_seconds()
    raise TimeoutError(f"registering {count} tasks took longer than {count * paces[-1]}")


def _task(name: str, handler: str, due: datetime) -> dict[str, Any]:
    return {"name": name, "handler": handler, "schedule": {"type": "once", "at": due.isoformat()}}


class _Ended:
    """Looks how many runs have ended, and when the last of them did."""

    _QUERY = """
        SELECT count(*) AS number, max(run.finished_at) AS last,
               count(kv.value) AS entries, count(run.result) AS results
        FROM task
        JOIN run ON run.task_id = task.id
        LEFT JOIN kv ON kv.task_id = task.id AND kv.key = 'last'
        WHERE task.name >= :first AND task.name < :end AND run.status = 'succeeded'
    """

    def __init__(self, rota: Rota, prefix: str) -> None:
        self._rota = rota
        self._names = {"first": f"{prefix}-", "end": f"{prefix}."}
        self.last = datetime.max.replace(tzinfo=UTC)

    def are(self, count: int) -> bool:
        [row] = self._rota.read(self._QUERY, **self._names)
        assert row.number == row.entries == row.results, "a run without its result and entry"
        if row.last is not None:
            self.last = as_instant(row.last)
        return bool(row.number >= count)


def as_instant(value: datetime | str) -> datetime:
    """Return a time as the databases give it past the service: SQLite as text, both in UTC."""
    read = datetime.fromisoformat(value) if isinstance(value, str) else value
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def _apscheduler_runs(folder: Path, count: int, *, tuned: bool = False) -> float:
    options = {"--count": count, "--threads": _APSCHEDULER_THREADS}
    return _peer_runs("benchmarks.peers.apscheduler_runs", folder, options, tuned=tuned)


def _huey_runs(folder: Path, count: int, *, tuned: bool = False) -> float:
    options = {"--count": count, "--workers": _HUEY_WORKERS}
    return _peer_runs("benchmarks.peers.huey_runs", folder, options, tuned=tuned)


def _peer_runs(module: str, folder: Path, options: Mapping[str, int], *, tuned: bool) -> float:
    with temporary_folder(folder) as own:
        words = (str(word) for pair in options.items() for word in pair)
        limits = ("--folder", str(own), "--timeout", str(_TIMEOUT), *(["--tuned"] if tuned else []))
        return float(measured(module, *words, *limits, timeout=2 * _TIMEOUT))


def _lines(found: Mapping[str, float]) -> list[Line]:
    lines = [
        _compared("Runs against APScheduler's SQLAlchemyJobStore", found, "apscheduler", limit=6),
        _compared("Runs against Huey on SQLite", found, "huey", limit=4),
        _compared(
            "Runs against APScheduler tuned with a write-ahead log", found, "apscheduler, tuned"
        ),
        _compared("Runs against Huey, the job's database tuned likewise", found, "huey, tuned"),
        Line(
            what="Runs of a `def` handler, the same as `async def`",
            rota=per_second(found["def"]),
            peer=per_second(found["async"]),
            ratio=found["def"] / found["async"],
        ),
    ]
    if "postgres" in found:
        lines.append(
            Line(
                what="Runs on PostgreSQL, the same on SQLite",
                rota=per_second(found["postgres"]),
                peer=per_second(found["async"]),
                ratio=found["postgres"] / found["async"],
            )
        )
    return lines


def _compared(what: str, found: Mapping[str, float], peer: str, limit: float | None = None) -> Line:
    return Line(
        what=what,
        rota=per_second(found["async"]),
        peer=per_second(found[peer]),
        ratio=found["async"] / found[peer],
        limit=limit,
    )
