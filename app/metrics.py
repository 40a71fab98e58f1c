"""What is measured, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LATENESS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_DURATION = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)


class Metrics:
    """The service's own registry, so that two services in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._children: dict[tuple[Counter, str], Counter] = {}
        self.attempts = Counter(
            "rota_attempts_total",
            "Attempts that ended, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.runs = Counter(
            "rota_runs_total",
            "Runs that this process carried to an end, by status.",
            ["status"],
            registry=self.registry,
        )
        self.fired = Counter(
            "rota_fired_total", "Fire times that became queued runs.", registry=self.registry
        )
        self.lateness = Histogram(
            "rota_run_lateness_seconds",
            "From the fire time to the start of the first attempt.",
            buckets=_LATENESS,
            registry=self.registry,
        )
        self.duration = Histogram(
            "rota_attempt_duration_seconds",
            "How long attempts took.",
            buckets=_DURATION,
            registry=self.registry,
        )
        self.running = Gauge(
            "rota_running_attempts", "Attempts under way in this process.", registry=self.registry
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
        self.commits = Counter(
            "rota_commits_total", "Commits of the writer.", registry=self.registry
        )
        self.writes = Counter(
            "rota_commands_total", "Commands that the writer carried out.", registry=self.registry
        )

    def attempt_ended(self, outcome: str, seconds: float) -> None:
        """Count an attempt that took so long."""
        self._labelled(self.attempts, outcome).inc()
        self.duration.observe(seconds)

    def run_ended(self, status: str) -> None:
        """Count a run that has reached a final status."""
        self._labelled(self.runs, status).inc()

    def _labelled(self, counter: Counter, label: str) -> Counter:
        # `labels` takes a lock and builds a key for every call.
        known = self._children.get((counter, label))
        if known is None:
            known = self._children[counter, label] = counter.labels(label)
        return known

    def render(self) -> bytes:
        """Return the text exposition."""
        return generate_latest(self.registry)
