"""How long until the last of very many runs has started that are all due at one instant, among a million tasks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.client import wait_until
from benchmarks.figures import Line
from benchmarks.filling import Group, fill, make_due
from benchmarks.processes import measured
from benchmarks.rota import Rota, serving, sqlite_url
from benchmarks.runs import as_instant
from benchmarks.workspace import subfolder, temporary_folder

# What starting the service may take, so that it is there when they are due: the first that is enough counts.
_HEAD_STARTS = tuple(timedelta(seconds=each) for each in (5, 20, 60))
_SETTING_UP = 180.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    registered: int = 1_000_000
    due: int = 10_000
    #: How long the last of them is waited for, in seconds.
    patience: float = 60


QUICK = Size(registered=20_000, due=500)


@dataclass(frozen=True, slots=True)
class Burst:
    """How many had started, and seconds from the instant to the last start and the last end (None: not all ended)."""

    started: int
    last_start: float
    last_end: float | None


def benchmark(folder: Path, size: Size, postgres: str | None = None) -> list[Line]:
    """Return Rota's burst beside APScheduler's; `postgres` is the URL of an empty database."""
    found = {"rota": _rota_burst(sqlite_url(folder), folder, size)}
    for name, words in {"documented": (), "tuned": ("--tuned",)}.items():
        found[name] = apscheduler_burst(folder, size, *words)
    if postgres:
        found["postgres"] = _rota_burst(postgres, subfolder(folder, "postgres"), size)
    return _lines(found, size)


def _rota_burst(url: str, folder: Path, size: Size) -> Burst:
    fill(url, size.registered, size.due)
    with _serving_before_the_burst(url, folder, size) as (rota, due):
        ended = _Ended(rota)
        late = max((due - datetime.now(UTC)).total_seconds(), 0) + size.patience
        wait_until(lambda: ended.are(size.due), f"{size.due} runs have ended", late, pause=0.25)
        return ended.burst(due)


@contextmanager
def _serving_before_the_burst(
    url: str, folder: Path, size: Size
) -> Iterator[tuple[Rota, datetime]]:
    """Serve a database from some time before the instant at which the tasks are due, which is an argument."""
    for head_start in _HEAD_STARTS:
        due = (datetime.now(UTC) + head_start).replace(microsecond=0)
        assert make_due(url, Group.SPREAD, due) == size.due
        with serving(url, folder) as rota:
            if datetime.now(UTC) < due:
                yield rota, due
                return
    raise TimeoutError(f"starting the service took longer than {_HEAD_STARTS[-1]}")


class _Ended:
    """Looks how many runs have ended, and when the last of them started and ended."""

    _QUERY = """
        SELECT count(*) AS number, count(result) AS results,
               max(first_started_at) AS started, max(finished_at) AS finished
        FROM run WHERE status = 'succeeded'
    """

    def __init__(self, rota: Rota) -> None:
        self._rota = rota
        self._row: Any = None

    def are(self, count: int) -> bool:
        [self._row] = self._rota.read(self._QUERY)
        return bool(self._row.number >= count)

    def burst(self, due: datetime) -> Burst:
        assert self._row.results == self._row.number, "a run without its result"
        started, finished = as_instant(self._row.started), as_instant(self._row.finished)
        return Burst(
            started=self._row.number,
            last_start=(started - due).total_seconds(),
            last_end=(finished - due).total_seconds(),
        )


def apscheduler_burst(folder: Path, size: Size, *words: str) -> Burst:
    """Return APScheduler's burst; runs that have not ended in time are reported, not raised."""
    with temporary_folder(folder) as own:
        options = {
            "--folder": own,
            "--registered": size.registered,
            "--due": size.due,
            "--patience": size.patience,
        }
        given = (str(word) for pair in options.items() for word in pair)
        module = "benchmarks.peers.apscheduler_burst"
        return Burst(**measured(module, *given, *words, timeout=size.patience + _SETTING_UP))


def _lines(found: Mapping[str, Burst], size: Size) -> list[Line]:
    what = f"{size.due:,} runs due at one instant, of {size.registered:,} tasks"
    rota = found["rota"]
    lines = [
        Line(
            what=f"Until the last has started: {what}; {peer}",
            rota=_shown(rota, size),
            peer=_shown(found[name], size),
            ratio=found[name].last_start / rota.last_start,
        )
        for name, peer in {
            "documented": "APScheduler's SQLAlchemyJobStore",
            "tuned": "APScheduler tuned with a write-ahead log",
        }.items()
    ]
    if "postgres" in found:
        lines.append(
            Line(
                what=f"Until the last has started on PostgreSQL, the same on SQLite: {what}",
                rota=_shown(found["postgres"], size),
                peer=_shown(rota, size),
                ratio=rota.last_start / found["postgres"].last_start,
            )
        )
    return lines


def _shown(burst: Burst, size: Size) -> str:
    if burst.last_end is None:
        return f"{burst.started:,} of {size.due:,} started after {burst.last_start:.0f} s"
    return f"{burst.last_start:.1f} s, the last ended after {burst.last_end:.1f} s"
