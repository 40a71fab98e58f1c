"""What is measured on the large database: functions by name, which others add to."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.client import ask
from benchmarks.figures import Line, median
from benchmarks.rota import Rota
from benchmarks.scale.data import Size


@dataclass(frozen=True, slots=True)
class Scale:
    """A service on a large database."""

    rota: Rota
    size: Size
    #: `SQLite` or `PostgreSQL`.
    database: str

    def milliseconds(self, path: str) -> float:
        """Return how long a GET takes, the median of several."""
        return median([self._asked(path) for _ in range(self.size.rounds)])

    def first(self, path: str) -> float:
        """Return how long one GET takes."""
        return self._asked(path)

    def read(self, path: str) -> Any:
        """Return the JSON of a GET."""
        return ask(self.rota.port, "GET", path)

    def line(self, what: str, milliseconds: float, most: float) -> Line:
        """Return what was measured against its aim."""
        return Line(
            what=f"{what}, {self.size.tasks:,} tasks, {self.size.runs:,} runs, {self.database}",
            rota=f"{milliseconds:.1f} ms",
            ratio=milliseconds,
            unit="ms",
            aim="at most",
            limit=most,
        )

    def _asked(self, path: str) -> float:
        began = time.perf_counter()
        ask(self.rota.port, "GET", path)
        return (time.perf_counter() - began) * 1_000


Measured = Callable[[Scale], list[Line]]
#: By name, in the order in which they are measured: first what only reads.
MEASURED: dict[str, Measured] = {}


def measured(name: str) -> Callable[[Measured], Measured]:
    """Return a decorator that adds a function to what is measured."""

    def add(function: Measured) -> Measured:
        MEASURED[name] = function
        return function

    return add
