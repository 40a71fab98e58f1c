"""Alerts that follow from time: raised and ended by looks at tasks, and never by a run that ends in time."""

from datetime import timedelta
from typing import Any

import pytest

from rota.db.tables import alert
from rota.domain.primitives.json import json_text
from rota.domain.reasons import FailReason
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Fatal
from rota.store.alerts.checks import MOST_EXPLAINED, CheckAlerts, next_check
from rota.store.alerts.watch import NoteLook
from rota.store.explain.facts import explain_waiting
from rota.store.runs.queues import PutQueue
from rota.store.tasks.next_fire import override_next_fire
from rota.store.tasks.ping import Ping
from tests.store.alerts.test_run_ends import event, types
from tests.support.factories import BROKEN, DAY, HOUR, MINUTE, NOON, World

MANUAL = {"type": "manual"}
SECOND = timedelta(seconds=1)
FAILURE = {"task": "ops", "success_within": "2h"}
LATE = {"task": "ops", "after": "5m"}


@pytest.fixture(autouse=True)
def ops(world: World) -> None:
    world.register("ops", schedule=MANUAL)


def look(world: World, after: timedelta = timedelta()) -> int:
    """Let time pass and look at what is due; return how many tasks were."""
    world.clock.advance(after)
    return world.do(CheckAlerts(100, why=explain_waiting))


def raised(world: World) -> set[str]:
    with world.database.read() as connection:
        return set(connection.execute(alert.select().with_only_columns(alert.c.kind)).scalars())


def events(world: World) -> list[Any]:
    return [json_text.loads(run.input) for run in world.runs("ops")]


def messages(world: World) -> dict[str, str]:
    return {each["data"]["task"]: each["data"]["message"] for each in events(world)}


def run_well(world: World, name: str = "t") -> None:
    world.succeed(world.start(name))


# --------------------------------------------------------------------------------------------- success_within
def test_a_task_that_never_succeeds_counts_from_its_registration(world: World) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE)

    look(world, 2 * HOUR - SECOND)
    assert types(world) == []
    look(world, SECOND)

    assert types(world) == ["failing"]
    assert event(world)["data"]["message"] == (
        "Task 't' has not succeeded for 2 hours: never since it was registered at 2026-03-10T12:00:00.000Z."
    )


@pytest.mark.parametrize(
    ("rules", "kinds"),
    [
        ({"on_failure": FAILURE}, ["failing", "recovered"]),
        ({"on_failure": {"task": "ops"}, "expect_every": "2h"}, ["failing", "recovered"]),
        ({"on_late": LATE}, ["late", "on_time"]),
    ],
)
def test_since_is_when_the_alert_was_raised_in_both_of_its_events(
    world: World, rules: dict[str, Any], kinds: list[str]
) -> None:
    world.register(schedule=MANUAL, **rules)
    world.run_now()

    look(world, 3 * HOUR)
    world.clock.advance(MINUTE)
    world.succeed(world.claim()[0])
    world.clock.advance(MINUTE)
    look(world, MINUTE)

    assert types(world) == kinds
    raised, ended = events(world)
    assert raised["data"]["since"] == ended["data"]["since"] == raised["timestamp"]
    assert raised["timestamp"] == "2026-03-10T15:00:00.000Z"


def test_it_is_raised_once_and_ends_with_the_next_success_which_arms_it_again(
    world: World,
) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE)

    for _ in range(5):
        look(world, HOUR)
    run_well(world)
    for _ in range(4):
        look(world, HOUR)

    assert types(world) == ["failing", "recovered", "failing"]


def test_a_failed_run_does_not_postpone_it(world: World) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE, retry={"max_attempts": 1})
    world.clock.advance(HOUR)
    world.end(world.start(), BROKEN)

    look(world, HOUR)

    assert types(world) == ["failing"]


def test_a_success_moves_the_look_without_a_statement_of_the_run(world: World) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE)
    first = world.read(next_check)
    world.clock.advance(HOUR)

    run_well(world)

    assert world.read(next_check) == first == NOON + 2 * HOUR
    assert look(world, HOUR) == 1
    assert (types(world), world.read(next_check)) == ([], NOON + 3 * HOUR)


def test_a_task_without_such_a_rule_is_never_checked(world: World) -> None:
    world.register(on_failure={"task": "ops", "after": 3}, on_skipped={"task": "ops"})

    assert world.read(next_check) is None


def test_the_time_of_a_pause_does_not_count(world: World) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE)
    world.clock.advance(HOUR)
    world.pause()

    look(world, DAY)
    assert (types(world), world.read(next_check)) == ([], None)
    world.resume()
    look(world, 2 * HOUR - SECOND)
    assert types(world) == []
    look(world, SECOND)

    assert types(world) == ["failing"]


def test_an_alert_that_a_pause_has_met_is_not_raised_again_and_ends_after_it(world: World) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE)
    look(world, 3 * HOUR)
    world.pause()
    look(world, HOUR)
    world.resume()

    for _ in range(4):
        look(world, HOUR)
    assert types(world) == ["failing"]
    run_well(world)

    assert types(world) == ["failing", "recovered"]


def test_a_task_that_rota_has_paused_itself_is_not_muted(world: World) -> None:
    rule = FAILURE | {"after": 1}
    world.register(schedule=MANUAL, on_failure=rule, on_late=LATE)
    world.end(world.start(), Fatal(RunError("http.status", "410"), FailReason.TARGET_GONE))
    assert (world.task().status, types(world)) == ("paused", ["failing"])
    world.run_now()

    look(world, 5 * MINUTE)
    look(world, 2 * HOUR)

    assert raised(world) == {"failures", "late", "no_success"}


def test_a_rule_that_is_declared_later_counts_from_then(world: World) -> None:
    world.register(schedule=MANUAL)
    world.clock.advance(DAY)
    declared: dict[str, Any] = {"on_conflict": "update", "schedule": MANUAL}
    world.register(**declared, on_failure=FAILURE)
    look(world)

    world.clock.advance(HOUR)
    world.register(**declared, on_failure=FAILURE, description="another one")
    look(world)
    assert types(world) == []
    look(world, HOUR)

    assert types(world) == ["failing"]


def test_without_its_rule_an_alert_is_gone_and_nobody_is_notified(world: World) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE)
    look(world, 3 * HOUR)

    world.register(on_conflict="update", schedule=MANUAL)
    look(world)

    assert (raised(world), types(world)) == (set(), ["failing"])
    assert world.read(next_check) is None


def test_a_cancelled_or_deleted_task_is_not_checked_any_more(world: World) -> None:
    world.register("a", schedule=MANUAL, on_failure=FAILURE)
    world.register("b", schedule=MANUAL, on_failure=FAILURE)
    world.cancel("a")
    world.delete("b")

    assert look(world, 3 * HOUR) == 2

    assert (types(world), world.read(next_check)) == ([], None)


# ------------------------------------------------------------------------------------------------ expect_every
def ping(world: World, **fields: Any) -> None:
    world.do(Ping(task="t", **fields))


def expecting(world: World) -> None:
    world.register(schedule=MANUAL, expect_every="1h", on_failure={"task": "ops"})


def test_pings_keep_a_dead_man_s_switch_quiet_and_their_absence_raises_it(world: World) -> None:
    expecting(world)

    for _ in range(3):
        look(world, HOUR - MINUTE)
        ping(world)
    assert types(world) == []
    look(world, HOUR)
    assert types(world) == ["failing"]
    assert event(world)["data"]["kind"] == "no_ping"
    ping(world)

    assert types(world) == ["failing", "recovered"]


def test_a_failed_ping_is_a_sign_of_life_and_a_failure(world: World) -> None:
    expecting(world)
    look(world, HOUR)
    assert raised(world) == {"no_ping"}
    world.clock.advance(SECOND)

    ping(world, status="failed", message="disk full")
    look(world, MINUTE)

    assert raised(world) == {"failures"}
    assert types(world) == ["failing", "failing", "recovered"]


def test_failed_pings_postpone_it_and_do_not_count_as_successes(world: World) -> None:
    world.register(
        schedule=MANUAL,
        expect_every="1h",
        on_failure={"task": "ops", "success_within": "3h"},
    )

    for _ in range(4):
        look(world, HOUR - MINUTE)
        ping(world, status="failed")

    assert raised(world) == {"no_success"}


# ----------------------------------------------------------------------------------------------------- on_late
def test_a_fire_time_that_a_run_has_moved_is_watched_as_well(world: World) -> None:
    made = world.register(schedule={"type": "interval", "every": "1d"}, on_late=LATE)
    with world.transaction() as tx:
        assert override_next_fire(tx, made.id, NOON + HOUR, "me")

    look(world)
    look(world, HOUR + 5 * MINUTE)

    assert types(world) == ["late"]


def test_a_run_that_is_queued_for_too_long_is_late(world: World) -> None:
    world.register(schedule={"type": "interval", "every": "1h"}, on_late=LATE)
    world.clock.advance(HOUR)
    world.fire()

    look(world, 5 * MINUTE - SECOND)
    assert types(world) == []
    look(world, SECOND)

    assert types(world) == ["late"]
    (late,) = world.runs()
    assert event(world)["data"]["run"]["id"] == late.id
    assert event(world)["data"]["message"] == (
        "The run of task 't' for 2026-03-10T13:00:00.000Z has not started within 5 minutes. It is about to be started. "
        "If it stays so, the replicas are busy: all their slots are taken."
    )


def test_a_fire_time_that_nobody_fires_is_late(world: World) -> None:
    world.register(schedule={"type": "interval", "every": "1h"}, on_late=LATE)

    look(world, HOUR + 5 * MINUTE)

    assert types(world) == ["late"]
    assert "has not been fired" in event(world)["data"]["message"]


def test_it_ends_with_a_run_that_starts_in_time_and_not_with_one_that_starts_late(
    world: World,
) -> None:
    world.register(schedule={"type": "interval", "every": "1h"}, on_late=LATE)
    world.clock.advance(HOUR)
    world.fire()
    look(world, 6 * MINUTE)
    world.succeed(world.claim()[0])

    look(world, MINUTE)
    assert types(world) == ["late"]
    world.clock.advance(53 * MINUTE)
    world.fire()
    world.claim()
    look(world, MINUTE)

    assert types(world) == ["late", "on_time"]


def test_a_blocked_run_says_what_it_waits_for(world: World) -> None:
    world.register(
        schedule={"type": "interval", "every": "1h"}, on_late=LATE, overlap_policy="buffer"
    )
    world.clock.advance(HOUR)
    world.fire()
    first = world.claim()[0]
    world.clock.advance(HOUR)
    world.fire()

    look(world, 5 * MINUTE)

    message = event(world)["data"]["message"]
    assert f"It waits for the end of an earlier run: {first.id}, which is running" in message


def test_a_run_that_its_queue_holds_back_is_late_and_the_message_says_how(world: World) -> None:
    hourly: dict[str, Any] = {"schedule": {"type": "interval", "every": "1h"}, "on_late": LATE}
    world.do(PutQueue(name="q", concurrency=None, paused=True, by="me"))
    world.register("a", queue="q", **hourly)
    world.register("holder", schedule=MANUAL)
    world.start("holder")
    world.do(PutQueue(name="default", concurrency=1, paused=False, by="me"))
    world.register("b", **hourly)
    world.clock.advance(HOUR)
    world.fire()

    look(world, 5 * MINUTE)

    said = messages(world)
    assert "Its queue 'q' is paused" in said["a"]
    assert "Its queue 'default' is full (1 of 1 slot is taken)" in said["b"]


def test_a_late_run_is_named_by_the_time_that_it_is_for(world: World) -> None:
    world.register("a", schedule={"type": "interval", "every": "1h"}, on_late=LATE)
    world.clock.advance(HOUR + timedelta(milliseconds=2))
    world.fire()
    look(world, 5 * MINUTE)
    assert "for 2026-03-10T13:00:00.000Z has not" in event(world)["data"]["message"]

    world.register("b", schedule={"type": "interval", "every": "1h"}, on_late=LATE)
    world.clock.advance(HOUR + 10 * MINUTE)
    world.fire()
    look(world, 5 * MINUTE)

    said = messages(world)
    assert "within 5 minutes of 2026-03-10T14:15:00.002Z." in said["b"]


def test_a_late_run_says_nothing_of_tasks_that_who_sees_its_own_may_not_see(world: World) -> None:
    world.register("other", schedule=MANUAL)
    ready = {"type": "kv", "name": "ready", "task": "other", "key": "k", "equals": "hunter2"}
    world.set("k", "not yet: secret", "other")
    world.register(schedule=MANUAL, constraints=[ready], on_late=LATE)
    world.run_now()

    look(world, 5 * MINUTE)

    message = event(world)["data"]["message"]
    assert "It waits for its constraints: ready: waits until" in message
    assert "secret" not in message


def test_a_manual_run_is_late_by_when_it_was_requested(world: World) -> None:
    world.register(schedule=MANUAL, on_late=LATE, overlap_policy="allow")
    world.clock.advance(DAY)
    world.run_now(scheduled_for=NOON)
    world.run_now(scheduled_for=NOON + 2 * DAY)

    look(world, 5 * MINUTE - SECOND)
    assert types(world) == []
    look(world, SECOND)

    assert types(world) == ["late"]


def test_the_last_run_of_a_completed_task_can_be_late_and_be_on_time_again(world: World) -> None:
    world.register(schedule={"type": "once", "delay": 60}, on_late=LATE)
    world.clock.advance(MINUTE)
    world.fire()
    assert world.task().status == "completed"

    look(world, 5 * MINUTE)
    assert types(world) == ["late"]
    world.succeed(world.claim()[0])
    look(world, MINUTE)

    assert types(world) == ["late", "on_time"]
    assert world.read(next_check) is None


def test_successors_are_checked_although_they_have_no_fire_time(world: World) -> None:
    world.register("first", schedule=MANUAL)
    world.register(schedule={"type": "after", "tasks": ["first"]}, on_late=LATE)
    look(world, HOUR)
    run_well(world, "first")

    look(world, 4 * MINUTE)
    assert types(world) == []
    look(world, 5 * MINUTE)
    look(world)

    assert types(world) == ["late"]


def test_what_waited_through_a_pause_is_not_late_for_that(world: World) -> None:
    world.register(schedule={"type": "interval", "every": "1h"}, on_late=LATE)
    world.clock.advance(HOUR)
    world.fire()
    world.pause()
    look(world, DAY)
    world.resume()

    look(world, 5 * MINUTE - SECOND)
    assert types(world) == []
    look(world, SECOND)

    assert types(world) == ["late"]


def test_a_backfill_and_a_notification_are_never_late(world: World) -> None:
    world.register("ops2", schedule=MANUAL, on_late=LATE)
    world.register(schedule=MANUAL, on_failure={"task": "ops2", "success_within": "1h"})
    look(world, HOUR)
    assert types(world, "ops2") == ["failing"]

    look(world, HOUR)

    assert raised(world) == {"no_success"}


# ------------------------------------------------------------------------------------- when nobody has watched
def watch(world: World, passed: timedelta) -> None:
    """A process that looked last `passed` ago looks again now."""
    world.do(NoteLook(world.now - passed))


def test_an_outage_does_not_count(world: World) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE)
    world.register("late", schedule={"type": "interval", "every": "90m"}, on_late=LATE)
    world.do(NoteLook())
    world.clock.advance(5 * HOUR)

    assert world.do(NoteLook()) == 5 * HOUR
    look(world)
    assert types(world) == []
    look(world, 4 * MINUTE)
    assert types(world) == []
    look(world, MINUTE)
    assert types(world) == ["late"]
    look(world, 2 * HOUR - 5 * MINUTE)

    assert types(world) == ["late", "failing"]


def test_a_clock_that_is_set_forward_raises_nothing(world: World) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE, expect_every="1h")
    world.register("late", schedule={"type": "interval", "every": "90m"}, on_late=LATE)
    world.do(NoteLook())
    world.clock.set(NOON + 30 * DAY)

    watch(world, 30 * DAY)
    look(world)

    assert raised(world) == set()


def test_after_a_clock_that_was_ahead_time_counts_as_it_passes(world: World) -> None:
    world.register(schedule=MANUAL, on_failure=FAILURE)
    world.do(NoteLook())
    world.clock.set(NOON + 30 * DAY)
    watch(world, 30 * DAY)
    run_well(world)
    look(world)

    world.clock.set(NOON + MINUTE)
    world.do(NoteLook(NOON + 30 * DAY))
    look(world)
    assert types(world) == []
    look(world, 2 * HOUR)

    assert types(world) == ["failing"]


# ------------------------------------------------------------------------------------------------------ guards
def test_two_replicas_that_look_at_once_notify_once(world: World) -> None:
    for number in range(10):
        world.register(f"t{number}", schedule=MANUAL, on_failure=FAILURE)
    world.clock.advance(2 * HOUR)

    requests = world.writer.call_all([CheckAlerts(7), CheckAlerts(7)])

    assert [request.result() for request in requests] == [7, 3]
    assert types(world) == ["failing"] * 10


def test_many_tasks_are_checked_in_batches(world: World) -> None:
    for number in range(5):
        world.register(f"t{number}", schedule=MANUAL, on_failure=FAILURE)
    world.clock.advance(2 * HOUR)

    assert [world.do(CheckAlerts(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_of_very_many_late_runs_some_are_explained_in_each_write(world: World) -> None:
    world.do(PutQueue(name="default", concurrency=None, paused=True, by="me"))
    number = MOST_EXPLAINED + 5
    for each in range(number):
        world.register(f"t{each}", schedule=MANUAL, on_late=LATE)
        world.run_now(f"t{each}")
    world.clock.advance(5 * MINUTE)

    assert look(world) == number
    assert len(events(world)) == MOST_EXPLAINED
    assert look(world) == 5

    assert len(messages(world)) == number
    assert all("is paused" in each for each in messages(world).values())


def test_an_index_serves_the_look_for_what_is_due(world: World) -> None:
    statement = (
        "SELECT alert_check_at FROM task WHERE alert_check_at IS NOT NULL "
        "ORDER BY alert_check_at LIMIT 1"
    )
    with world.database.read() as connection:
        if world.is_sqlite:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}").all()

    assert "ix_task_alert_check" in str(plan)


def test_an_alert_that_was_raised_by_a_clock_that_was_ahead_is_checked_when_it_is_set_back(
    world: World,
) -> None:
    world.register(schedule={"type": "interval", "every": "1h"}, on_late=LATE)
    world.clock.advance(HOUR)
    world.fire()
    look(world, 5 * MINUTE)
    assert raised(world) == {"late"}
    world.do(NoteLook())
    world.clock.set(NOON + 30 * DAY)
    watch(world, 30 * DAY)
    look(world)

    world.clock.set(NOON + HOUR + 6 * MINUTE)
    world.do(NoteLook(NOON + 30 * DAY))

    assert world.read(next_check) == world.now
