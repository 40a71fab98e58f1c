"""Counters and histograms for what every run changes, and gauges that are computed when they are read.

The library's counters and histograms take locks, and search their bucket and child, each time, which is a fiftieth of
the time of a run.
"""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from math import inf

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class LabelledCounter(Collector):
    """A counter with labels that one thread increments."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._family = (name, documentation, None, labels)
        self._tally: Tally[tuple[str, ...]] = Tally()

    def count(self, *labels: str, by: int = 1) -> None:
        """Add to the counter with these values of its labels."""
        self._tally[labels] += by

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(*self._family)
        for labels, number in self._tally.copy().items():
            family.add_metric(labels, number)
        yield family


class Durations(Collector):
    """A histogram of seconds that one thread observes."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float]) -> None:
        self._family = (name, documentation)
        self._bounds = (*buckets, inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Add a duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        name, documentation = self._family
        upto = zip(self._bounds, accumulate(self._counts), strict=True)
        buckets = [(str(floatToGoString(bound)), number) for bound, number in upto]  # type: ignore[no-untyped-call]
        yield HistogramMetricFamily(name, documentation, buckets=buckets, sum_value=self._sum)


class Names(Collector):
    """A gauge that is 1 for each of the names that a function returns when the gauge is read."""

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self._family = (name, documentation, None, (label,))
        self._read: Callable[[], Iterable[str]] = tuple

    def set_function(self, read: Callable[[], Iterable[str]]) -> None:
        """Set the function; it is called in any thread."""
        self._read = read

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(*self._family)
        for name in self._read():
            family.add_metric((name,), 1)
        yield family


class Ends:
    """How many runs of each task have ended, by status and reason, in this process; one thread counts.

    `most` tasks are kept: above that, those that are not shown are forgotten, and begin again at 0 when they are.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: dict[str, Tally[tuple[str, str]]] = {}
        self._shown: frozenset[str] = frozenset()

    def count(self, task_id: str, status: str, reason: str, by: int) -> None:
        """Add to the ends of a task."""
        tally = self._tasks.get(task_id)
        if tally is None:
            if len(self._tasks) >= self._most:
                self._tasks = {id: kept for id, kept in self._tasks.items() if id in self._shown}
            tally = self._tasks[task_id] = Tally()
        tally[status, reason] += by

    def show(self, task_ids: Iterable[str]) -> dict[str, dict[tuple[str, str], int]]:
        """Return the counts of these tasks, and keep them from now on."""
        self._shown = frozenset(task_ids)
        tasks = self._tasks
        return {id: dict(tasks[id]) for id in self._shown if id in tasks}
