"""Metrics for Prometheus."""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import inf

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_LATENESS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_POSTPONED = "postponed"
_DURATION = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)


class _LabelledCounter(Collector):
    """A counter with one label that one thread increments.

    For metrics that every run changes: the library's counters and histograms take locks, and search their bucket and
    child, each time, which is a fiftieth of the time of a run.
    """

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self._family = (name, documentation, None, [label])
        self._tally: Tally[str] = Tally()

    def count(self, label: str) -> None:
        self._tally[label] += 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(*self._family)
        for label, number in self._tally.copy().items():
            family.add_metric([label], number)
        yield family


class _Durations(Collector):
    """A histogram of seconds that one thread observes."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float]) -> None:
        self._family = (name, documentation)
        self._bounds = (*buckets, inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        name, documentation = self._family
        upto = zip(self._bounds, accumulate(self._counts), strict=True)
        buckets = [(str(floatToGoString(bound)), number) for bound, number in upto]  # type: ignore[no-untyped-call]
        yield HistogramMetricFamily(name, documentation, buckets=buckets, sum_value=self._sum)


class Metrics:
    """The metrics of one service, in a registry of its own: a process may have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._attempts = _LabelledCounter(
            "rota_attempts_total", "Attempts that ended, by outcome.", "outcome"
        )
        self._runs = _LabelledCounter(
            "rota_runs_total", "Runs that ended in this process, by status.", "status"
        )
        self._lateness = _Durations(
            "rota_run_lateness_seconds",
            "From the fire time to the start of the first attempt.",
            _LATENESS,
        )
        self._duration = _Durations(
            "rota_attempt_duration_seconds", "How long attempts took.", _DURATION
        )
        for each in (self._attempts, self._runs, self._lateness, self._duration):
            self.registry.register(each)
        self.fired = Counter(
            "rota_fired_total", "Fire times that became queued runs.", registry=self.registry
        )
        self.running = Gauge(
            "rota_running_attempts", "Attempts in progress in this process.", registry=self.registry
        )
        self.pass_age = Gauge(
            "rota_firing_pass_age_seconds",
            "Time since the last firing pass.",
            registry=self.registry,
        )
        self.handler_lag = Gauge(
            "rota_handler_loop_lag_seconds",
            "How far the handlers' event loop is behind.",
            registry=self.registry,
        )
        self.tzdata = Gauge(
            "rota_tzdata_info",
            "The time zone database that fire times are computed with.",
            ["version"],
            registry=self.registry,
        )
        self.refused = Counter(
            "rota_requests_refused_total",
            "Requests refused for the key that they had or lacked, or for a limit of it, by status: 401, 403, 429.",
            ["status"],
            registry=self.registry,
        )
        self.open_circuits = Gauge(
            "rota_http_open_circuits",
            "Hosts that are not called for a while, since they were down.",
            registry=self.registry,
        )
        self.circuits_opened = Counter(
            "rota_http_circuits_opened_total",
            "How often a host was found down, so that it was not called for a while.",
            registry=self.registry,
        )
        self.commits = Counter(
            "rota_commits_total", "Commits of the writer.", registry=self.registry
        )
        self.writes = Counter(
            "rota_commands_total", "Commands that the writer executed.", registry=self.registry
        )

    def attempt_began(self, late: float) -> None:
        """Record a first attempt that began `late` seconds after its fire time."""
        self._lateness.observe(late)

    def attempt_ended(self, outcome: str, seconds: float) -> None:
        """Record an attempt that ended after so many seconds."""
        self._attempts.count(outcome)
        if outcome != _POSTPONED:  # it did nothing
            self._duration.observe(seconds)

    def run_ended(self, status: str) -> None:
        """Record a run that has reached a final status."""
        self._runs.count(status)

    def render(self) -> bytes:
        """Return the metrics in the text format."""
        return generate_latest(self.registry)
