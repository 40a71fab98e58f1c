"""What the end of an attempt makes of its run, as a table."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.domain.kv.entries import KvChange
from rota.domain.policies import RetryPolicy, retry_interval
from rota.domain.primitives.ids import Id
from rota.domain.reasons import CancelReason, FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import (
    AttemptOutcome,
    Blame,
    Cancelled,
    Conflicted,
    Failed,
    Fatal,
    Lost,
    Outcome,
    Postponed,
    Released,
    RetryRequested,
    Succeeded,
    TimedOut,
)
from rota.domain.runs.run_facts import RunFacts
from rota.domain.runs.settlement import MOST_CONFLICTS, MOST_LOST, Settlement, settle
from rota.domain.runs.status import FINAL, RunStatus
from tests.support.factories import DAY, HOUR, MINUTE, NOON, numbered

RETRY = RetryPolicy(max_attempts=3)
ERROR = RunError("x", "broken")
ALONE = Lost(Blame.ALONE, "killed by SIGSEGV")
FRESH = RunFacts(id=numbered(1), failures=0, lost_count=0, conflict_count=0, first_started_at=NOON)
OUTCOMES: dict[str, Outcome] = {
    "succeeded": Succeeded("1", (KvChange("k", b"1"),), 3),
    "failed": Failed(ERROR),
    "fatal": Fatal(ERROR),
    "gone": Fatal(ERROR, FailReason.TARGET_GONE),
    "timed_out": TimedOut(ERROR),
    "retry": RetryRequested(None, ERROR),
    "retry_after": RetryRequested(MINUTE, ERROR),
    "cancelled": Cancelled(),
    "lost": Lost(),
    "released": Released(),
    "conflict": Conflicted("k"),
    "postponed": Postponed(NOON + MINUTE, "circuit:example.com", ERROR),
}
# By outcome: status and reason while attempts are left, on the last attempt, and once a cancel was requested.
Q, F, S, C = RunStatus.QUEUED, RunStatus.FAILED, RunStatus.SUCCEEDED, RunStatus.CANCELLED
WANTED: dict[str, tuple[tuple[Any, Any], tuple[Any, Any], tuple[Any, Any]]] = {
    "succeeded": ((S, None), (S, None), (S, None)),
    "failed": ((Q, None), (F, "attempts_exhausted"), (C, "requested")),
    "fatal": ((F, "fatal"), (F, "fatal"), (F, "fatal")),
    "gone": ((F, "target_gone"), (F, "target_gone"), (F, "target_gone")),
    "timed_out": ((Q, None), (F, "attempts_exhausted"), (C, "requested")),
    "retry": ((Q, None), (F, "attempts_exhausted"), (C, "requested")),
    "retry_after": ((Q, None), (F, "attempts_exhausted"), (C, "requested")),
    "cancelled": ((C, "requested"), (C, "requested"), (C, "requested")),
    "lost": ((Q, None), (Q, None), (C, "requested")),
    "released": ((Q, None), (Q, None), (C, "requested")),
    "conflict": ((Q, None), (Q, None), (C, "requested")),
    "postponed": ((Q, None), (Q, None), (C, "requested")),
}
COUNTED = {"succeeded", "failed", "fatal", "gone", "timed_out", "retry", "retry_after", "cancelled"}
FAILURES = COUNTED - {"succeeded", "cancelled"}


def _settle(outcome: Outcome, retry: RetryPolicy = RETRY, **facts: Any) -> Settlement:
    return settle(replace(FRESH, **facts), outcome, retry, NOON + HOUR)


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_every_outcome_while_attempts_are_left_on_the_last_one_and_after_a_cancel(
    name: str,
) -> None:
    outcome = OUTCOMES[name]

    made = [
        _settle(outcome),
        _settle(outcome, failures=2),
        _settle(outcome, cancel_reason=CancelReason.REQUESTED),
    ]

    assert tuple((each.status, each.reason) for each in made) == WANTED[name]
    assert {each.counted for each in made} == {name in COUNTED}
    assert [each.failures for each in made] == [n + (name in FAILURES) for n in (0, 2, 0)]


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_an_attempt_is_recorded_with_its_outcome(name: str) -> None:
    special = {"fatal": "failed", "gone": "failed", "retry_after": "retry"}

    assert _settle(OUTCOMES[name]).outcome == AttemptOutcome(special.get(name, name))


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_only_a_success_has_a_result_and_changes(name: str) -> None:
    made = _settle(OUTCOMES[name])

    if name == "succeeded":
        assert (made.result, made.error) == ("1", None)
    else:
        assert made.result is None
        assert (made.error is None) == (name in {"cancelled", "released", "postponed"})


@pytest.mark.parametrize("name", ["failed", "timed_out", "retry"])
def test_a_retry_waits_as_the_policy_says(name: str) -> None:
    made = [_settle(OUTCOMES[name], failures=failures) for failures in (0, 1)]

    waits = [retry_interval(RETRY, failures, FRESH.id) for failures in (1, 2)]
    assert [each.not_before for each in made] == [NOON + HOUR + wait for wait in waits]


def test_a_retry_that_was_asked_for_waits_as_asked() -> None:
    assert _settle(OUTCOMES["retry_after"]).not_before == NOON + HOUR + MINUTE
    policy = RetryPolicy(initial_interval=timedelta(0))

    assert _settle(RetryRequested(timedelta(0), ERROR), policy).not_before is None


@pytest.mark.parametrize(
    ("asked", "first", "waited"),
    [(0, 10, 1), (0.2, 10, 1), (5, 10, 5), (0, 0.5, 0.5), (60, 10, 60)],
)
def test_a_handler_sets_the_time_of_its_retry_but_cannot_loop(
    asked: float, first: float, waited: float
) -> None:
    policy = RetryPolicy(initial_interval=timedelta(seconds=first), jitter=False)

    made = _settle(RetryRequested(timedelta(seconds=asked), ERROR), policy)

    assert made.not_before == NOON + HOUR + timedelta(seconds=waited)
    assert (made.counted, made.failures) == (True, 1)


@pytest.mark.parametrize(("asked", "waited"), [(0, 10), (3, 10), (30, 30)])
def test_what_a_target_asks_for_lengthens_the_wait_and_never_shortens_it(
    asked: int, waited: int
) -> None:
    policy = RetryPolicy(jitter=False)

    made = _settle(RetryRequested(timedelta(seconds=asked), ERROR, lengthens=True), policy)

    assert made.not_before == NOON + HOUR + timedelta(seconds=waited)


@pytest.mark.parametrize("name", ["lost", "released"])
def test_what_is_given_back_is_tried_again_at_once(name: str) -> None:
    assert _settle(OUTCOMES[name]).not_before is None


def test_a_conflict_waits_longer_each_time_and_another_run_waits_otherwise() -> None:
    def waits(id: Id) -> list[float]:
        settled = [
            settle(
                RunFacts(
                    id=id,
                    failures=0,
                    lost_count=0,
                    conflict_count=count,
                    first_started_at=NOON,
                ),
                Conflicted("k"),
                RetryPolicy(),
                NOON,
            )
            for count in range(MOST_CONFLICTS)
        ]
        return [(each.not_before or NOON).timestamp() - NOON.timestamp() for each in settled]

    for count, wait in enumerate(waits(numbered(1))):
        longest = min(0.05 * 2**count, 1)
        assert longest / 2 <= wait + 0.001
        assert wait <= longest
    assert waits(numbered(1)) == waits(numbered(1)) != waits(numbered(2))


@pytest.mark.parametrize(
    ("name", "reason"), [("failed", "error"), ("retry", "error"), ("timed_out", "timeout")]
)
def test_the_only_attempt_says_why_it_failed(name: str, reason: str) -> None:
    made = _settle(OUTCOMES[name], RetryPolicy(max_attempts=1))

    assert (made.status, made.reason) == (F, reason)


def test_no_retry_starts_later_than_the_policy_allows() -> None:
    policy = RetryPolicy(max_elapsed=timedelta(minutes=61), jitter=False, initial_interval=MINUTE)

    within = _settle(OUTCOMES["failed"], policy)
    beyond = _settle(RetryRequested(MINUTE + timedelta(milliseconds=1), ERROR), policy)

    assert (within.status, within.not_before) == (Q, NOON + 61 * MINUTE)
    assert (beyond.status, beyond.reason) == (F, "deadline")


def test_a_run_that_is_lost_too_often_by_its_own_fault_has_failed() -> None:
    first = _settle(Lost(), lost_count=0)
    made = [first, *(_settle(ALONE, lost_count=count) for count in range(1, MOST_LOST))]

    assert [each.status for each in made] == [Q] * (MOST_LOST - 1) + [F]
    assert [each.lost_count for each in made] == list(range(1, MOST_LOST + 1))
    assert (made[-1].reason, made[-1].counted, made[-1].failures) == ("lost", False, 0)
    assert made[-1].error == RunError("lost", "killed by SIGSEGV")


@given(st.lists(st.sampled_from([Lost(), Lost(Blame.NONE), Released()]), max_size=60))
def test_a_run_that_others_may_have_taken_with_them_never_fails_for_it(ends: list[Outcome]) -> None:
    count = 0
    for outcome in ends:
        settled = _settle(outcome, lost_count=count)
        assert (settled.status, settled.counted, settled.failures) == (Q, False, 0)
        count = settled.lost_count

    assert count == (Lost() in ends)


def test_a_run_whose_losses_are_not_held_against_it_continues_after_them() -> None:
    for outcome in (Lost(), Lost(Blame.NONE), Released()):
        settled = _settle(outcome, lost_count=MOST_LOST - 1)

        assert (settled.status, settled.lost_count) == (Q, MOST_LOST - 1)


def test_a_run_with_too_many_conflicts_counts_them_as_failures() -> None:
    patient = _settle(Conflicted("k"), conflict_count=MOST_CONFLICTS - 1)
    failure = _settle(Conflicted("k"), conflict_count=MOST_CONFLICTS)
    last = _settle(Conflicted("k"), conflict_count=MOST_CONFLICTS, failures=2)

    assert (patient.outcome, patient.conflict_count) == ("conflict", MOST_CONFLICTS)
    assert (failure.outcome, failure.status, failure.failures) == ("failed", Q, 1)
    assert failure.not_before is not None
    assert (last.status, last.reason) == (F, "attempts_exhausted")


def test_a_postponed_run_waits_uncounted_for_its_host_with_what_it_has_failed_so_far() -> None:
    made = _settle(Postponed(NOON + 2 * HOUR, "host:a.example", ERROR), failures=2, lost_count=1)

    assert (made.status, made.not_before) == (Q, NOON + 2 * HOUR)
    assert made.waiting_on == "host:a.example"
    assert (made.counted, made.failures, made.lost_count, made.error) == (False, 2, 1, None)


@pytest.mark.parametrize(
    ("elapsed", "longest"), [(timedelta(minutes=90), timedelta(minutes=90)), (None, DAY)]
)
def test_a_run_that_waits_for_its_host_is_tried_a_last_time_when_its_time_is_up_and_then_fails(
    elapsed: timedelta | None, longest: timedelta
) -> None:
    policy = RetryPolicy(max_elapsed=elapsed)
    last = NOON + longest
    postponed = Postponed(last + HOUR, "circuit:a.example", ERROR)

    waits = settle(FRESH, postponed, policy, last - timedelta(milliseconds=1))
    fails = settle(FRESH, postponed, policy, last)

    assert (waits.status, waits.not_before, waits.waiting_on) == (Q, last, "circuit:a.example")
    assert (fails.status, fails.reason, fails.error) == (F, "deadline", ERROR)
    assert (fails.counted, fails.failures, fails.waiting_on) == (False, 0, None)


def test_a_run_whose_host_is_only_busy_waits_without_limit() -> None:
    busy = Postponed(NOON + 3 * DAY, "host:a.example", ERROR)

    made = settle(FRESH, busy, RETRY, NOON + 2 * DAY)

    assert (made.status, made.not_before) == (Q, NOON + 3 * DAY)


@pytest.mark.parametrize("reason", list(CancelReason))
def test_a_cancelled_run_says_who_cancelled_it(reason: CancelReason) -> None:
    made = [
        _settle(outcome, cancel_reason=reason) for outcome in (Cancelled(), Failed(ERROR), Lost())
    ]

    assert {(each.status, each.reason) for each in made} == {(C, reason)}


def test_every_status_is_either_final_or_unfinished() -> None:
    unfinished = {RunStatus.BLOCKED, RunStatus.QUEUED, RunStatus.RUNNING}
    assert set(RunStatus) == FINAL | unfinished
    assert not FINAL & unfinished
    assert {status for status in RunStatus if status.final} == FINAL


def test_every_final_end_but_success_has_a_reason() -> None:
    for outcome, failures, cancel in product(OUTCOMES.values(), (0, 2), (None, *CancelReason)):
        made = _settle(outcome, failures=failures, cancel_reason=cancel)
        if made.status.final and made.status is not S:
            assert made.reason is not None
        assert made.not_before is None or made.status is Q
