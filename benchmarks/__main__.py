"""`python -m benchmarks [NAME …] [--quick] [--output FILE]`: what Rota does, beside its peers in the same run."""

import argparse
import os
import platform
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks import burst, firing, http_calls, kv, lateness, registrations, runs
from benchmarks.figures import Line, as_markdown
from benchmarks.peers.redis_server import server_version
from benchmarks.scale import benchmark as scale
from benchmarks.scale import data
from benchmarks.workspace import subfolder, sync_milliseconds, temporary_folder
from tests.support.postgres import PostgresServer, PostgresUnavailableError

Benchmark = Callable[[Path], list[Line]]
NAMES = ("registrations", "runs", "firing", "burst", "lateness", "kv", "http", "scale")
_STOPPED = 128 + signal.SIGTERM


def main() -> None:
    """Run the requested benchmarks; print a table, and write it to a file."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_STOPPED))
    with temporary_folder(given.folder) as folder, _postgres(wanted=given.postgres) as server:
        head = _machine(folder)
        lines: list[Line] = []
        for name, benchmark in _benchmarks(server, quick=given.quick).items():
            if name in given.names:
                lines += _timed(name, benchmark, folder)
    report = f"{head}\n\n{as_markdown(lines)}\n"
    print(report)
    if given.output:
        given.output.write_text(report)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="small counts, to see that it works")
    parser.add_argument("--output", type=Path, help="write the table there too")
    parser.add_argument(
        "--folder", type=Path, help="on the disk to measure; default: a temporary one"
    )
    parser.add_argument(
        "--postgres",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also on a PostgreSQL of the tests, with fsync on",
    )
    given = parser.parse_args()
    unknown = set(given.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    return given


def _benchmarks(server: PostgresServer | None, *, quick: bool) -> dict[str, Benchmark]:
    def on_both(benchmark: Callable[..., list[Line]], size: object) -> Benchmark:
        def run(folder: Path) -> list[Line]:
            return benchmark(folder, size, server.create_database() if server else None)

        return run

    return {
        "registrations": on_both(
            registrations.benchmark, registrations.QUICK if quick else registrations.Size()
        ),
        "runs": on_both(runs.benchmark, runs.QUICK if quick else runs.Size()),
        "firing": partial(firing.benchmark, size=firing.QUICK if quick else firing.Size()),
        "burst": on_both(burst.benchmark, burst.QUICK if quick else burst.Size()),
        "lateness": on_both(lateness.benchmark, lateness.QUICK if quick else lateness.Size()),
        "kv": on_both(kv.benchmark, kv.QUICK if quick else kv.Size()),
        "scale": on_both(scale.benchmark, data.QUICK if quick else data.Size()),
        "http": partial(
            http_calls.benchmark, size=http_calls.QUICK if quick else http_calls.Size()
        ),
    }


@contextmanager
def _postgres(*, wanted: bool) -> Iterator[PostgresServer | None]:
    if not wanted:
        yield None
        return
    try:
        server = PostgresServer(durable=True)
    except PostgresUnavailableError as error:
        print(f"Without PostgreSQL: {error}", file=sys.stderr)
        yield None
        return
    with server:
        yield server


def _timed(name: str, benchmark: Benchmark, folder: Path) -> list[Line]:
    print(f"{name} …", end=" ", file=sys.stderr, flush=True)
    started_at = time.monotonic()
    lines = benchmark(subfolder(folder, name))
    print(f"{time.monotonic() - started_at:.0f} s", file=sys.stderr)
    return lines


def _machine(folder: Path) -> str:
    """Say what it was measured on; a commit cannot be faster than its disk."""
    peers = ", ".join(
        f"{name} {version(name)}" for name in ("apscheduler", "huey", "fastapi", "celery")
    )
    redis = server_version()
    peers += f", Redis {redis}" if redis else ", no Redis"
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {peers}; "
        f"an fsync of 4 KiB takes {sync_milliseconds(folder):.1f} ms"
    )


if __name__ == "__main__":
    main()
