from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rota.domain.policies import JITTER, Retention, RetryPolicy, retry_interval
from rota.domain.primitives.ids import Id, random_id, to_id
from tests.support.factories import numbered

RUN = numbered(7)
DURATIONS = st.integers(0, 10**9).map(lambda ms: timedelta(milliseconds=ms))
POLICIES = st.builds(
    lambda intervals, **fields: RetryPolicy(
        initial_interval=min(intervals), max_interval=max(intervals), **fields
    ),
    intervals=st.tuples(DURATIONS, DURATIONS),
    backoff=st.sampled_from(["exponential", "linear", "constant"]),
    multiplier=st.floats(1, 100),
    jitter=st.booleans(),
)


@pytest.mark.parametrize(
    ("backoff", "seconds"),
    [
        ("exponential", [10, 20, 40, 80]),
        ("linear", [10, 20, 30, 40]),
        ("constant", [10, 10, 10, 10]),
    ],
)
def test_intervals_grow_as_the_policy_says(backoff: Any, seconds: list[int]) -> None:
    policy = RetryPolicy(backoff=backoff, jitter=False)

    waits = [retry_interval(policy, failures, RUN) for failures in (1, 2, 3, 4)]

    assert waits == [timedelta(seconds=each) for each in seconds]


@given(POLICIES, st.integers(1, 1_000), st.uuids())
def test_an_interval_has_bounds(policy: RetryPolicy, failures: int, run: Id) -> None:
    wait = retry_interval(policy, failures, run)

    assert timedelta(0) <= wait <= policy.max_interval
    assert wait == retry_interval(policy, failures, run)


@given(POLICIES, st.integers(1, 1_000))
def test_jitter_moves_an_interval_by_a_share_of_it(policy: RetryPolicy, failures: int) -> None:
    exact = policy.model_copy(update={"jitter": False, "max_interval": timedelta(days=36_500)})
    plain = retry_interval(exact, failures, RUN)
    jittered = retry_interval(
        policy.model_copy(update={"jitter": True, "max_interval": timedelta(days=36_500)}),
        failures,
        RUN,
    )

    if plain < timedelta(days=10_000):
        assert abs(jittered - plain) <= plain * JITTER + timedelta(milliseconds=1)


def test_jitter_spreads_runs_out_but_is_the_same_for_everybody() -> None:
    policy = RetryPolicy()
    runs = [random_id() for _ in range(50)]

    waits = [retry_interval(policy, 1, run) for run in runs]

    assert len(set(waits)) > 40
    assert waits == [retry_interval(policy, 1, to_id(str(run))) for run in runs]
    assert retry_interval(policy, 1, RUN) * 2 != retry_interval(policy, 2, RUN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": 1_001},
        {"backoff": "random"},
        {"multiplier": 0.5},
        {"multiplier": 101},
        {"initial_interval": -1},
        {"attempts": 3},
    ],
)
def test_a_wrong_policy_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RetryPolicy.model_validate(wrong)


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"runs": 100_001}, {"age": "1w"}])
def test_a_wrong_retention_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Retention.model_validate(wrong)
