"""The metrics of a service."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    generate_latest,
)

from rota.metrics.collectors import Durations, Ends, LabelledCounter, Names
from rota.metrics.stored import StoredMetrics

LATENESS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
DURATION = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)
_POSTPONED = "postponed"
# Tasks whose ends are counted, for each that is shown: which are shown changes.
_COUNTED_PER_SHOWN = 10


class Metrics:
    """The metrics of one service, in a registry of its own: a process may have several.

    `most_tasks`: how many tasks have series of their own.
    """

    def __init__(self, most_tasks: int = 200) -> None:
        self.registry = registry = CollectorRegistry()
        self._attempts = LabelledCounter(
            "rota_attempts_total", "Attempts that ended, by outcome.", ("outcome",)
        )
        self._runs = LabelledCounter(
            "rota_runs_total",
            "Runs whose end this process has stored, by status, reason and trigger.",
            ("status", "reason", "trigger"),
        )
        self._lateness = Durations(
            "rota_run_lateness_seconds",
            "From the fire time to the start of the first attempt, of runs that nothing was to hold back.",
            LATENESS,
        )
        self._duration = Durations(
            "rota_attempt_duration_seconds", "How long attempts took.", DURATION
        )
        self.circuits = Names(
            "rota_circuit_open", "Hosts that are not called for a while: 1 for each.", "host"
        )
        self._counts_tasks = most_tasks > 0
        self._ends = Ends(most_tasks * _COUNTED_PER_SHOWN)
        self.stored = StoredMetrics(self._ends)
        for each in (
            *(self._attempts, self._runs, self._lateness, self._duration),
            *(self.circuits, self.stored),
        ):
            registry.register(each)
        self.fired = Counter(
            "rota_fired_total", "Fire times that became queued runs.", registry=registry
        )
        self.commits = Counter("rota_commits_total", "Commits of the writer.", registry=registry)
        self.writes = Counter(
            "rota_commands_total", "Commands that the writer executed.", registry=registry
        )
        self.circuits_opened = Counter(
            "rota_http_circuits_opened_total",
            "How often a host was found down, so that it was not called for a while.",
            registry=registry,
        )
        self.notifications_given_up = Counter(
            "rota_notifications_given_up_total",
            "Notifications that could not be sent and are not tried again.",
            registry=registry,
        )
        self.refused = Counter(
            "rota_requests_refused_total",
            "Requests refused for the key that they had or lacked, or for a limit of it, by status: 401, 403, 429.",
            ["status"],
            registry=registry,
        )
        self._add_gauges(registry)
        ProcessCollector(registry=registry)

    def _add_gauges(self, registry: CollectorRegistry) -> None:
        self.running = Gauge(
            "rota_running_attempts", "Attempts in progress in this process.", registry=registry
        )
        self.pass_age = Gauge(
            "rota_firing_pass_age_seconds", "Time since the last firing pass.", registry=registry
        )
        self.ready = Gauge(
            "rota_ready",
            "Whether the process can serve, as far as it knows without asking the database.",
            registry=registry,
        )
        self.handler_lag = Gauge(
            "rota_handler_loop_lag_seconds",
            "How far the handlers' event loop is behind.",
            registry=registry,
        )
        self.open_circuits = Gauge(
            "rota_http_open_circuits",
            "Hosts that are not called for a while, since they were down.",
            registry=registry,
        )
        self.tzdata = Gauge(
            "rota_tzdata_info",
            "The time zone database that fire times are computed with.",
            ["version"],
            registry=registry,
        )
        self.build = Gauge(
            "rota_build_info",
            "What runs: the versions of Rota, of Python and of the database.",
            ["version", "python", "database"],
            registry=registry,
        )

    def attempt_began(self, late: float) -> None:
        """Record a first attempt that began `late` seconds after its fire time."""
        self._lateness.observe(late)

    def attempt_ended(self, outcome: str, seconds: float) -> None:
        """Record an attempt that ended after so many seconds."""
        self._attempts.count(outcome)
        if outcome != _POSTPONED:  # it did nothing
            self._duration.observe(seconds)

    def run_ended(
        self, task_id: str, status: str, reason: str | None, trigger: str, count: int = 1
    ) -> None:
        """Record a run with a final status, which represents `count` fire times; called by the writer's thread only."""
        self._runs.count(status, reason or "", trigger, by=count)
        if self._counts_tasks:
            self._ends.count(task_id, status, reason or "", count)

    def render(self) -> bytes:
        """Return the metrics in the text format."""
        return generate_latest(self.registry)
