from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from rota.metrics import _DURATION, _LATENESS, Metrics

SECONDS = st.one_of(st.sampled_from(_DURATION + _LATENESS), st.floats(-1, 1e6))
OUTCOMES = st.sampled_from(["succeeded", "failed", "timed_out"])


def _samples(text: str) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                yield sample.name, tuple(sorted(sample.labels.items())), round(sample.value, 3)


def test_a_postponed_attempt_is_counted_and_its_duration_is_not() -> None:
    metrics = Metrics()

    metrics.attempt_ended("postponed", 0.001)

    found = {name: value for name, _, value in _samples(metrics.render().decode())}
    assert found["rota_attempts_total"] == 1
    assert found["rota_attempt_duration_seconds_count"] == 0


@given(st.lists(st.tuples(OUTCOMES, SECONDS)), st.lists(SECONDS), st.lists(OUTCOMES))
def test_own_collectors_are_exposed_like_those_of_the_library(
    attempts: list[tuple[str, float]], late: list[float], runs: list[str]
) -> None:
    metrics, library = Metrics(), CollectorRegistry()
    outcomes = Counter("rota_attempts_total", "_", ["outcome"], registry=library)
    statuses = Counter("rota_runs_total", "_", ["status"], registry=library)
    took = Histogram("rota_attempt_duration_seconds", "_", buckets=_DURATION, registry=library)
    lateness = Histogram("rota_run_lateness_seconds", "_", buckets=_LATENESS, registry=library)

    for outcome, seconds in attempts:
        metrics.attempt_ended(outcome, seconds)
        outcomes.labels(outcome).inc()
        took.observe(seconds)
    for seconds in late:
        metrics.attempt_began(seconds)
        lateness.observe(seconds)
    for status in runs:
        metrics.run_ended(status)
        statuses.labels(status).inc()

    exposed = set(_samples(metrics.render().decode()))
    expected = set(_samples(generate_latest(library).decode()))
    assert expected <= exposed
    names = {name for name, _, _ in expected} | {"rota_attempts_total", "rota_runs_total"}
    assert {each for each in exposed if each[0] in names} == expected
