"""What the end of a run raises or ends, and when a notification is tried again."""

from datetime import timedelta

import pytest

from rota.domain.alerts.defaults import Rules
from rota.domain.alerts.retries import wait_after
from rota.domain.alerts.rules import AlertKind, FailureRate, FailureRule, SkippedRule
from rota.domain.alerts.run_ends import EndOfRun, changes, is_alerted_on, rate_change
from rota.domain.reasons import SkipReason

RULES = Rules(on_failure=FailureRule(task="ops", after=2), on_skipped=SkippedRule(task="ops"))
RATE = FailureRate(failed=2, of=4)


@pytest.mark.parametrize(
    ("failures", "raised", "made"),
    [(1, set(), []), (2, set(), [("failures", True)]), (3, {AlertKind.FAILURES}, [])],
)
def test_a_failure_raises_once_there_are_enough(
    failures: int, raised: set[AlertKind], made: list[tuple[str, bool]]
) -> None:
    assert changes(RULES, raised, EndOfRun(status="failed", failures=failures)) == made


def test_a_success_ends_every_failure_but_a_rate() -> None:
    ended = changes(RULES, set(AlertKind), EndOfRun(status="succeeded"))

    assert {kind for kind, raised in ended if not raised} == {
        AlertKind.FAILURES,
        AlertKind.NO_SUCCESS,
        AlertKind.NO_PING,
        AlertKind.SKIPPED,
    }


@pytest.mark.parametrize("raised", [set(), set(AlertKind)])
def test_a_cancelled_run_changes_nothing(raised: set[AlertKind]) -> None:
    assert changes(RULES, raised, EndOfRun(status="cancelled", failures=9)) == []


def test_skips_that_somebody_wanted_are_not_alerted_on_unless_they_are_named() -> None:
    assert {each for each in SkipReason if is_alerted_on(RULES, each)} == {
        SkipReason.MISFIRE,
        SkipReason.TOO_LATE,
        SkipReason.OVERLAP,
        SkipReason.CONSTRAINT_DEADLINE,
    }
    named = Rules(on_skipped=SkippedRule(task="ops", reasons=(SkipReason.PAUSED,)))
    assert {each for each in SkipReason if is_alerted_on(named, each)} == {SkipReason.PAUSED}


@pytest.mark.parametrize(
    ("latest", "raised", "change"),
    [
        ("fsf", False, (True, 2)),
        ("fss", False, None),
        ("ff", True, None),
        ("fsss", True, (False, 1)),
    ],
)
def test_a_rate_ends_when_half_of_its_failures_are_left(
    latest: str, raised: object, change: tuple[bool, int] | None
) -> None:
    assert rate_change(RATE, [each == "f" for each in latest], raised=bool(raised)) == change


def test_waits_double_to_an_hour() -> None:
    waits = [wait_after(attempts) // timedelta(minutes=1) for attempts in (1, 2, 6, 7, 8, 1_000)]

    assert waits == [1, 2, 32, 60, 60, 60]
