"""Numbers on their way into a report: percentiles, and lines of a table with their aims."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

TIMES = "×"  # noqa: RUF001  # the sign is meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One comparison. `ratio` may also be a difference, with its unit; without `limit` it is information."""

    what: str
    rota: str
    peer: str = ""
    ratio: float | None = None
    unit: str = TIMES
    aim: Literal["at least", "at most"] = "at least"
    limit: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.limit is None or self.ratio is None:
            return None
        return self.ratio >= self.limit if self.aim == "at least" else self.ratio <= self.limit


@dataclass(frozen=True, slots=True)
class Spread:
    """Middle, tail and end of many measurements, in their unit."""

    p50: float
    p99: float
    most: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f}, p99 {self.p99:.1f}, max {self.most:.1f} ms"


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of at least one measurement."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return Spread(ordered[last // 2], ordered[round(last * 0.99)], ordered[last])


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def per_second(rate: float) -> str:
    return f"{rate:,.0f}/s"


def as_markdown(lines: Sequence[Line]) -> str:
    """Return the comparisons as a table."""
    head = "| what | Rota | peer | ratio | aim | met |\n| --- | --- | --- | --- | --- | --- |"
    return "\n".join([head, *(_row(line) for line in lines)])


def _row(line: Line) -> str:
    ratio = "" if line.ratio is None else _amount(line.ratio, line.unit)
    aim = "" if line.limit is None else f"{line.aim} {line.limit:g} {line.unit}"
    met = {None: "", True: "yes", False: "**no**"}[line.met]
    return f"| {line.what} | {line.rota} | {line.peer} | {ratio} | {aim} | {met} |"


def _amount(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if unit == TIMES else f"{value:.1f} {unit}"
