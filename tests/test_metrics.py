from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from rota.domain.runs.status import Trigger
from rota.metrics import Metrics
from rota.metrics.service import DURATION, LATENESS
from tests.support.metrics import MEASURES, TASK, filled_metrics

SECONDS = st.one_of(st.sampled_from(DURATION + LATENESS), st.floats(-1, 1e6))
REASONS = st.sampled_from([None, "error", "timeout"])
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


@given(
    st.lists(st.tuples(OUTCOMES, SECONDS)),
    st.lists(SECONDS),
    st.lists(st.tuples(OUTCOMES, REASONS, st.sampled_from(Trigger), st.integers(1, 9))),
)
def test_own_collectors_are_exposed_like_those_of_the_library(
    attempts: list[tuple[str, float]],
    late: list[float],
    runs: list[tuple[str, str | None, str, int]],
) -> None:
    metrics, library = Metrics(), CollectorRegistry()
    outcomes = Counter("rota_attempts_total", "_", ["outcome"], registry=library)
    ends = Counter("rota_runs_total", "_", ["status", "reason", "trigger"], registry=library)
    took = Histogram("rota_attempt_duration_seconds", "_", buckets=DURATION, registry=library)
    lateness = Histogram("rota_run_lateness_seconds", "_", buckets=LATENESS, registry=library)

    for outcome, seconds in attempts:
        metrics.attempt_ended(outcome, seconds)
        outcomes.labels(outcome).inc()
        took.observe(seconds)
    for seconds in late:
        metrics.attempt_began(seconds)
        lateness.observe(seconds)
    for status, reason, trigger, count in runs:
        metrics.run_ended("t", status, reason, trigger, count)
        ends.labels(status, reason or "", trigger).inc(count)

    exposed = set(_samples(metrics.render().decode()))
    expected = set(_samples(generate_latest(library).decode()))
    assert expected <= exposed
    names = {name for name, _, _ in expected} | {"rota_attempts_total", "rota_runs_total"}
    assert {each for each in exposed if each[0] in names} == expected


def _found(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(name, labels): value for name, labels, value in _samples(metrics.render().decode())}


def test_ends_of_a_task_that_is_shown_have_its_name_and_those_of_others_are_left_out() -> None:
    metrics = filled_metrics()
    metrics.run_ended("another", "failed", "error", "manual")
    metrics.run_ended(TASK.id, "skipped", "misfire", "schedule", 3)

    by_task = {
        labels: value
        for (name, labels), value in _found(metrics).items()
        if name == "rota_task_runs_total"
    }

    labels = (("reason", "misfire"), ("status", "skipped"), ("task", "nightly-import"))
    assert by_task == {labels: 5}


def test_without_an_answer_of_the_database_the_rest_is_shown_and_says_so() -> None:
    metrics = filled_metrics()
    metrics.stored.set_function(lambda: None)

    found = _found(metrics)

    assert found["rota_database_up", ()] == 0
    assert found["rota_running_attempts", ()] == 0
    assert not {
        name for name, _ in found if name.startswith(("rota_task_", "rota_queue", "rota_wal"))
    }


def test_with_no_task_to_show_none_is_counted() -> None:
    metrics = Metrics(most_tasks=0)
    metrics.stored.set_function(lambda: replace(MEASURES, tasks=[]))

    for number in range(100):
        metrics.run_ended(f"t{number}", "succeeded", None, "schedule")

    assert metrics._ends._tasks == {}
    labels = (("reason", ""), ("status", "succeeded"), ("trigger", "schedule"))
    assert _found(metrics)["rota_runs_total", labels] == 100


def test_the_tasks_that_are_counted_are_bounded_and_those_that_are_shown_are_kept() -> None:
    metrics = Metrics(most_tasks=1)
    metrics.stored.set_function(lambda: MEASURES)
    metrics.run_ended(TASK.id, "succeeded", None, "schedule")
    metrics.render()

    for number in range(1_000):
        metrics.run_ended(f"other-{number}", "succeeded", None, "schedule")
    metrics.run_ended(TASK.id, "succeeded", None, "schedule")

    assert len(metrics._ends._tasks) <= 10
    labels = (("reason", ""), ("status", "succeeded"), ("task", TASK.name))
    assert _found(metrics)["rota_task_runs_total", labels] == 2
