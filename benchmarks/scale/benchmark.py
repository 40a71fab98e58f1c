"""The benchmark: a large database is made on each of the two, served, and measured."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Line
from benchmarks.rota import serving, sqlite_url
from benchmarks.scale import (  # noqa: F401  # what is measured is added when its module is imported
    commands,
    lists,
    pages,
    stats,
)
from benchmarks.scale.data import Size, seed
from benchmarks.scale.measured import MEASURED, Scale
from benchmarks.workspace import subfolder


def benchmark(folder: Path, size: Size, postgres: str | None = None) -> list[Line]:
    """Return what was measured on SQLite, and on `postgres`, the URL of an empty database."""
    urls = {"SQLite": sqlite_url(folder)}
    if postgres is not None:
        urls["PostgreSQL"] = postgres
    return [line for name, url in urls.items() for line in _lines(folder, size, name, url)]


def _lines(folder: Path, size: Size, name: str, url: str) -> Iterator[Line]:
    seed(url, size)
    with serving(url, subfolder(folder, name)) as rota:
        for measure in MEASURED.values():
            yield from measure(Scale(rota, size, name))
