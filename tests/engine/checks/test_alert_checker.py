"""Looks at what follows from time: none before the start has ended, and none blames a task for Rota's own absence."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from rota.db.tables import alert, alert_watch, task, unwatched_span
from rota.domain.alerts.defaults import Alerting, Rules
from rota.domain.alerts.rules import FailureRule, LateRule
from rota.domain.alerts.timing import Look, Watched, look
from rota.engine.checks.alert_checker import AlertChecker
from rota.store.alerts.checks import next_check
from tests.store.alerts.test_run_ends import types
from tests.support.factories import DAY, HOUR, MINUTE, NOON, World, foreign_lock

MANUAL = {"type": "manual"}
# Fires again and again, as a default of `success_within` wants, and not in these tests.
SELDOM = {"type": "interval", "every": "90d"}
HOURLY = {"type": "interval", "every": "1h"}
SECOND = timedelta(seconds=1)
FAILURE = {"task": "ops", "success_within": "2h"}
LATE = {"task": "ops", "after": "5m"}


def checker_of(world: World, **fields: Any) -> AlertChecker:
    return AlertChecker(world.database, world.writer, world.clock, **fields)


@pytest.fixture
def checker(world: World) -> AlertChecker:
    """A checker of a process that has been up for a while."""
    world.register("ops", schedule=MANUAL)
    world.register("watched", schedule=MANUAL, on_failure={"task": "ops", "success_within": "9d"})
    made = checker_of(world)
    made.look()
    return made


def pass_by(world: World, checker: AlertChecker, time: timedelta) -> None:
    """Let time pass, with a look each few seconds, as at a service that runs."""
    end = world.now + time
    while world.now < end:
        world.clock.advance(min(timedelta(seconds=5), end - world.now))
        checker.look()


def test_what_comes_true_is_raised_by_the_look_at_that_time(
    world: World, checker: AlertChecker
) -> None:
    world.register(schedule=MANUAL, on_failure={"task": "ops", "success_within": "1m"})

    pass_by(world, checker, MINUTE - SECOND)
    assert types(world) == []
    pass_by(world, checker, SECOND)

    assert types(world) == ["failing"]


def test_without_a_task_that_is_watched_a_look_writes_nothing(world: World) -> None:
    world.register(schedule=HOURLY)
    checker = checker_of(world)

    pass_by(world, checker, MINUTE)

    assert (world.count(alert_watch), world.count(unwatched_span)) == (0, 0)


def test_it_does_not_begin_before_what_was_due_at_the_start_is_fired(world: World) -> None:
    world.register("ops", schedule=MANUAL)
    world.register(schedule=HOURLY, on_late=LATE)
    world.clock.advance(DAY)
    fired: list[bool] = []
    checker = checker_of(world, ready=lambda: bool(fired))

    checker.look()
    assert types(world) == []
    world.fire()
    fired.append(True)
    checker.look()

    assert (types(world), world.count(alert)) == ([], 0)


def _outage(world: World, _checker: AlertChecker) -> AlertChecker:
    world.clock.advance(5 * HOUR)
    return checker_of(world)


def _standstill(world: World, checker: AlertChecker) -> AlertChecker:
    world.clock.advance(5 * HOUR)
    return checker


def _clock_set_forward(world: World, checker: AlertChecker) -> AlertChecker:
    world.clock.set(world.now + 5 * HOUR)
    return checker


@pytest.mark.parametrize("absence", [_outage, _standstill, _clock_set_forward])
def test_a_time_in_which_nobody_watched_raises_nothing_and_does_not_count(
    world: World, checker: AlertChecker, absence: Callable[..., AlertChecker]
) -> None:
    world.register(schedule=MANUAL, on_failure={"task": "ops", "success_within": "10m"})
    world.register("hourly", schedule=HOURLY, on_late=LATE)
    pass_by(world, checker, 5 * MINUTE)

    checker = absence(world, checker)
    checker.look()
    world.fire()
    pass_by(world, checker, 4 * MINUTE)
    assert types(world) == []
    pass_by(world, checker, 2 * MINUTE)

    assert sorted(types(world)) == ["failing", "late"]


def test_what_was_raised_before_a_restart_is_not_raised_again_and_ends_after_it(
    world: World, checker: AlertChecker
) -> None:
    world.register(schedule=MANUAL, on_failure={"task": "ops", "success_within": "1m"})
    pass_by(world, checker, 2 * MINUTE)

    restarted = _outage(world, checker)
    pass_by(world, restarted, 5 * MINUTE)
    assert types(world) == ["failing"]
    world.succeed(world.start())
    pass_by(world, restarted, MINUTE - SECOND)

    assert types(world) == ["failing", "recovered"]


def test_a_clock_that_was_ahead_for_a_while_delays_no_alert(
    world: World, checker: AlertChecker
) -> None:
    world.register(schedule=MANUAL, on_failure={"task": "ops", "success_within": "10m"})
    world.clock.set(NOON + 30 * DAY)
    checker.look()
    world.succeed(world.start())
    pass_by(world, checker, MINUTE)

    world.clock.set(NOON + 2 * MINUTE)
    checker.look()
    pass_by(world, checker, 9 * MINUTE)
    assert types(world) == []
    pass_by(world, checker, 2 * MINUTE)

    assert types(world) == ["failing"]


def test_two_replicas_watch_for_each_other(world: World, checker: AlertChecker) -> None:
    other = checker_of(world)
    world.register(schedule=MANUAL, on_failure={"task": "ops", "success_within": "10m"})
    for _ in range(4):
        pass_by(world, other, 5 * SECOND)
        pass_by(world, checker, 3 * MINUTE)

    assert types(world) == ["failing"]
    assert world.count(alert) == 1


def test_a_task_that_cannot_be_checked_does_not_stop_the_others(
    world: World, checker: AlertChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(rules: Rules, seen: Watched, *others: Any) -> Look:
        if seen.name == "bad":
            raise ValueError("broken")
        return look(rules, seen, *others)

    for name in ("bad", "good"):
        world.register(name, schedule=MANUAL, on_failure={"task": "ops", "success_within": "1m"})
    monkeypatch.setattr("rota.store.alerts.checks.look", failing)

    pass_by(world, checker, 2 * MINUTE)
    assert types(world) == ["failing"]
    monkeypatch.undo()
    pass_by(world, checker, 10 * MINUTE)

    assert types(world) == ["failing", "failing"]


def test_only_so_many_times_in_which_nobody_watched_are_kept(
    world: World, checker: AlertChecker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.store.alerts.watch._MOST_SPANS", 5)

    for _ in range(9):
        checker = _outage(world, checker)
        checker.look()

    assert world.count(unwatched_span) == 5


@pytest.mark.parametrize(
    ("defaults", "watched"),
    [
        (Rules(), 0),
        (Rules(on_failure=FailureRule.model_validate({"task": "ops"})), 1),
        (Rules(on_failure=FailureRule.model_validate(FAILURE)), 2),
        (Rules(on_late=LateRule.model_validate(LATE)), 2),
    ],
)
def test_tasks_are_watched_from_the_start_on_that_has_a_new_default(
    world: World, defaults: Rules, watched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register("ops", schedule=MANUAL)
    world.register("pinged", schedule=MANUAL, expect_every="1h")
    world.register("hourly", schedule=HOURLY)
    world.register("off", schedule=HOURLY, on_failure="off", on_late="off")
    monkeypatch.setattr("rota.db.connection_state.alerting._NONE", Alerting(defaults=defaults))

    checker_of(world).look()

    assert world.count(task, task.c.watched_from.is_not(None)) == watched
    assert (world.read(next_check) is not None) is bool(watched)


def with_default(monkeypatch: pytest.MonkeyPatch, success_within: str) -> None:
    """Let the service have a default, as after a restart with another setting."""
    rule = FailureRule.model_validate({"task": "ops", "success_within": success_within})
    monkeypatch.setattr(
        "rota.db.connection_state.alerting._NONE", Alerting(defaults=Rules(on_failure=rule))
    )


def test_a_shorter_default_holds_from_the_start_on_and_not_from_the_next_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_default(monkeypatch, "26h")
    world.register("ops", schedule=MANUAL)
    world.register(schedule=SELDOM)
    pass_by(world, checker_of(world), MINUTE)
    with_default(monkeypatch, "10m")

    pass_by(world, checker_of(world), 10 * MINUTE)

    assert types(world) == ["failing"]


def test_the_same_default_makes_no_look_at_a_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_default(monkeypatch, "26h")
    world.register("ops", schedule=MANUAL)
    world.register(schedule=SELDOM)
    pass_by(world, checker_of(world), MINUTE)

    checker_of(world).look()

    assert world.read(next_check) == NOON + 26 * HOUR


def test_a_default_that_is_new_holds_for_a_paused_task_once_it_is_resumed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register("ops", schedule=MANUAL)
    world.register(schedule=SELDOM)
    world.pause()
    with_default(monkeypatch, "10m")
    checker = checker_of(world)
    pass_by(world, checker, HOUR)
    assert types(world) == []
    world.resume()

    pass_by(world, checker, 10 * MINUTE)

    assert types(world) == ["failing"]


@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_a_task_that_is_locked_at_the_start_is_watched_a_little_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register("ops", schedule=MANUAL)
    world.register(schedule=SELDOM)
    with_default(monkeypatch, "10m")
    checker = checker_of(world)
    with foreign_lock(world, select(task).where(task.c.name == "t")):
        checker.look()
    assert world.count(task, task.c.watched_from.is_not(None)) == 0

    checker.look()

    assert world.count(task, task.c.watched_from.is_not(None)) == 1
