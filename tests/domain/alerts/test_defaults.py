"""The rules that hold for a task: its own, or the defaults of the service."""

from typing import Any

import pytest

from rota.domain.alerts.defaults import NO_RULES, Rules, read_defaults, rules_of
from rota.domain.alerts.rules import AlertKind
from rota.domain.schedules.definitions import Unreadable
from rota.errors import Invalid
from tests.support.factories import define


def defaults(**texts: str) -> Rules:
    empty = dict.fromkeys(("on_failure", "on_success", "on_skipped", "on_late"), "")
    return read_defaults(**(empty | texts))


OPS = defaults(on_failure='{"task": "ops", "after": 3}', on_late='{"task": "ops", "after": "5m"}')


@pytest.mark.parametrize(
    ("own", "notified"),
    [(None, "ops"), ("off", None), ({"task": "boss"}, "boss")],
)
def test_a_default_holds_where_a_task_says_nothing(own: Any, notified: str | None) -> None:
    rule = rules_of(define(on_failure=own), "t", OPS).of(AlertKind.FAILURES)

    assert (None if rule is None else rule.task) == notified


def test_a_default_does_not_hold_for_the_task_that_it_names() -> None:
    assert rules_of(define(), "ops", OPS) == NO_RULES


@pytest.mark.parametrize(
    ("rule", "kinds"),
    [
        ({}, {"failures"}),
        ({"rate": {"failed": 1, "of": 2}}, {"failure_rate"}),
        ({"success_within": "1h"}, {"no_success"}),
        ({"after": 2, "rate": {"failed": 1, "of": 2}}, {"failures", "failure_rate"}),
    ],
)
def test_each_condition_of_a_failure_is_an_alert_of_its_own(
    rule: dict[str, Any], kinds: set[str]
) -> None:
    rules = rules_of(define(on_failure={"task": "ops"} | rule), "t", NO_RULES)

    assert {kind for kind in AlertKind if rules.of(kind) is not None} == kinds


QUIET = defaults(on_failure='{"task": "ops", "success_within": "26h"}')
HOURLY = {"type": "interval", "every": "1h"}
ONCE = {"type": "once", "at": "2026-03-11T09:00:00Z"}


@pytest.mark.parametrize(
    ("schedule", "holds"),
    [
        (HOURLY, True),
        ({"type": "cron", "expression": "0 2 * * *"}, True),
        ({"type": "any_of", "schedules": [ONCE, HOURLY]}, True),
        ({"type": "any_of", "schedules": [ONCE]}, False),
        (ONCE, False),
        ({"type": "manual"}, False),
        ({"type": "after", "tasks": ["first"], "on": ["failed"]}, False),
    ],
)
def test_the_success_within_of_a_default_is_for_tasks_that_fire_again_and_again(
    schedule: dict[str, Any], holds: bool
) -> None:
    rules = rules_of(define(schedule=schedule), "t", QUIET)
    own = {"task": "boss", "success_within": "1h"}

    assert (rules.of(AlertKind.NO_SUCCESS) is not None) is holds
    assert rules.of(AlertKind.FAILURES) is None
    assert rules_of(define(schedule=schedule, on_failure=own), "t", QUIET).of(AlertKind.NO_SUCCESS)


def test_a_default_without_its_success_within_still_notifies_of_missing_pings() -> None:
    rules = rules_of(define(schedule={"type": "manual"}, expect_every="1h"), "t", QUIET)

    rule = rules.of(AlertKind.NO_PING)
    assert rule is not None
    assert rule.task == "ops"


def test_a_schedule_that_cannot_be_read_is_taken_for_one_that_fires() -> None:
    unreadable = define().model_copy(update={"schedule": Unreadable(reason="newer")})

    assert rules_of(unreadable, "t", QUIET).of(AlertKind.NO_SUCCESS) is not None


def test_missing_pings_are_failures() -> None:
    watched = define(expect_every="1h", on_failure={"task": "ops"})

    assert rules_of(watched, "t", NO_RULES).of(AlertKind.NO_PING) is not None
    assert rules_of(define(expect_every="1h"), "t", NO_RULES).of(AlertKind.NO_PING) is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("alert-ops", "ROTA_ON_FAILURE is not JSON such as"),
        ("{}", "ROTA_ON_FAILURE: task: "),
        ('{"task": "ops", "after": 0}', "ROTA_ON_FAILURE: after: "),
        ('{"task": "ops", "afer": 2}', "ROTA_ON_FAILURE: afer: "),
        ("[]", "ROTA_ON_FAILURE: "),
    ],
)
def test_a_mistake_in_a_default_is_named(text: str, error: str) -> None:
    with pytest.raises(Invalid) as raised:
        defaults(on_failure=text)

    assert raised.value.detail.startswith(error)
