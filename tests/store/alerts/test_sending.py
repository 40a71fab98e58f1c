"""Sending: a notification is sent once a run with it has succeeded, and is tried again until then."""

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from rota.db.tables import alert, notification, task
from rota.domain.alerts.retries import LEAST_ATTEMPTS, MOST_WAITING
from rota.domain.effects import NotificationGivenUp
from rota.domain.primitives.ids import new_id
from rota.domain.runs.model import ClaimedRun
from rota.store.alerts.reading import SentNotification, list_notifications
from rota.store.alerts.sending import RemoveSent, SendPending, earliest_pending
from rota.store.tasks.lifecycle import Purge
from tests.store.alerts.test_run_ends import end, event, types, watched
from tests.support.factories import BROKEN, DAY, HOUR, MINUTE, World, foreign_lock

MANUAL = {"type": "manual"}
WEEK = 7 * DAY


def notified(world: World) -> list[SentNotification]:
    """Return the notifications about the task, the earliest first."""
    return world.read(list_notifications, world.task().id, None, 100)[::-1]


def reported(world: World) -> list[tuple[str, str]]:
    """Return the kinds of what was given up, and who was to be notified."""
    return [
        (each.kind, each.notifies)
        for each in world.effects
        if isinstance(each, NotificationGivenUp)
    ]


def try_again(world: World) -> int:
    """Let the time of the earliest pending notification come, and try those that are due."""
    at = world.read(earliest_pending)
    assert at is not None
    world.clock.set(max(at, world.now))
    return world.do(SendPending(100))


def ops(world: World, **fields: Any) -> None:
    world.register(
        "ops", schedule={"type": "manual"}, retry={"max_attempts": 1}, queue="ops", **fields
    )


def sending(world: World) -> ClaimedRun:
    """Start the earliest run that sends a notification."""
    (started,) = world.claim(1, queue="ops")
    return started


@pytest.fixture(autouse=True)
def _watched(world: World) -> None:
    watched(world, on_failure={"task": "ops"})


def test_it_is_sent_when_its_run_has_succeeded(world: World) -> None:
    ops(world)
    end(world, "f")
    (before,) = notified(world)
    assert (before.sent_at, before.not_before) == (None, None)

    started = sending(world)
    assert started.id == before.run_id
    world.succeed(started)

    (sent,) = notified(world)
    assert (sent.sent_at, sent.attempts) == (world.now, 0)
    assert world.read(earliest_pending) is None


def test_it_is_tried_again_later_and_later_when_its_run_ends_otherwise(world: World) -> None:
    ops(world)
    end(world, "f")
    waits = []
    for _ in range(8):
        world.end(sending(world), BROKEN)
        (waiting,) = notified(world)
        assert waiting.not_before is not None
        waits.append((waiting.not_before - world.now) // MINUTE)
        assert try_again(world) == 1

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    world.succeed(sending(world))
    (sent,) = notified(world)
    assert (sent.attempts, sent.sent_at, len(set(types(world)))) == (8, world.now, 1)


@pytest.mark.parametrize("how", ["missing", "paused", "cancelled", "deleted"])
def test_it_waits_for_a_task_that_does_not_take_it(world: World, how: str) -> None:
    if how != "missing":
        ops(world)
        {"paused": world.pause, "cancelled": world.cancel, "deleted": world.delete}[how]("ops")
    end(world, "f")
    assert try_again(world) == 1
    (waiting,) = notified(world)
    assert (waiting.run_id, waiting.attempts) == (None, 2)

    if how == "paused":
        world.resume("ops")
    else:
        ops(world, on_conflict="update")

    assert world.read(earliest_pending) == world.now
    world.do(SendPending(100))
    assert types(world) == ["failing"]


def test_a_cancelled_run_of_it_sends_nothing(world: World) -> None:
    ops(world)
    end(world, "f")
    world.delete("ops")
    ops(world)

    world.do(SendPending(100))

    assert types(world) == ["failing"]


def test_a_completed_task_takes_it(world: World) -> None:
    world.register("ops", schedule={"type": "once", "at": world.now.isoformat()})
    world.fire()
    world.succeed(world.claim()[0])
    assert world.task("ops").status == "completed"

    end(world, "f")

    assert types(world) == ["failing"]


@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_a_task_that_is_locked_is_notified_a_moment_later(world: World) -> None:
    ops(world)
    with foreign_lock(world, select(task).where(task.c.name == "ops")) as release:
        end(world, "f")
        assert types(world) == []
        assert try_again(world) == 1
        assert types(world) == []
        release()

    try_again(world)
    (told,) = notified(world)
    assert (types(world), told.attempts) == (["failing"], 0)


def test_a_secret_input_stays_out_of_the_event(world: World) -> None:
    ops(world)
    watched(world, on_conflict="update", on_failure={"task": "ops"}, input={"pin": "4711"})

    end(world, "f")

    assert "4711" not in str(event(world))


def test_an_alert_is_forgotten_when_its_rule_is_removed(world: World) -> None:
    ops(world)
    end(world, "f")

    watched(world, on_conflict="update", on_failure={"task": "ops", "success_within": "1h"})

    assert world.count(alert) == 0
    end(world, "s")
    assert types(world) == ["failing"]


def test_an_alert_whose_rule_is_changed_ends_by_the_new_one(world: World) -> None:
    ops(world)
    world.register("boss", schedule={"type": "manual"})
    end(world, "f")

    watched(world, on_conflict="update", on_failure={"task": "boss", "after": 9})
    end(world, *"fs")

    assert (types(world), types(world, "boss")) == (["failing"], ["recovered"])


def test_a_cancelled_task_has_no_alert_and_a_deleted_one_no_notification(world: World) -> None:
    ops(world)
    end(world, "f")
    world.cancel()
    assert (world.count(alert), world.count(notification)) == (0, 1)

    world.delete()
    while world.do(Purge(100)):
        pass
    assert world.count(notification) == 0


@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_one_that_another_replica_is_trying_is_left_to_it(world: World) -> None:
    end(world, "f")
    world.clock.advance(HOUR)
    with foreign_lock(world, select(notification)):
        assert world.do(SendPending(100)) == 0

    assert world.do(SendPending(100)) == 1


def test_sent_notifications_are_removed_after_a_while(world: World) -> None:
    ops(world)
    end(world, *"fsf")
    for _ in range(2):
        world.succeed(sending(world))

    assert world.do(RemoveSent(DAY, 100)) == 0
    world.clock.advance(DAY + HOUR)
    assert world.do(RemoveSent(DAY, 100)) == 2
    assert world.count(notification) == 1


def test_what_nobody_takes_is_given_up_after_a_week_and_removed_after_a_while(
    world: World,
) -> None:
    end(world, "f")
    begun = world.now
    while world.read(earliest_pending) is not None:
        try_again(world)

    (lost,) = notified(world)
    assert (lost.given_up_at, lost.sent_at, lost.run_id) == (world.now, None, None)
    assert WEEK <= world.now - begun < WEEK + HOUR
    assert reported(world) == [("failures", "ops")]

    ops(world)
    assert world.read(earliest_pending) is None
    world.clock.advance(DAY + HOUR)
    assert world.do(RemoveSent(DAY, 100)) == 1


def test_what_never_succeeds_is_given_up_too(world: World) -> None:
    ops(world)
    end(world, "f")
    with world.transaction() as tx:
        tx.connection.execute(update(notification).values(attempts=LEAST_ATTEMPTS - 1))
    world.clock.advance(WEEK)

    world.end(sending(world), BROKEN)

    (lost,) = notified(world)
    assert (lost.given_up_at, lost.attempts) == (world.now, LEAST_ATTEMPTS)
    assert reported(world) == [("failures", "ops")]


def test_a_service_that_was_off_for_a_week_has_not_tried(world: World) -> None:
    end(world, "f")
    world.clock.advance(2 * WEEK)
    world.do(SendPending(100))

    (waiting,) = notified(world)
    assert (waiting.given_up_at, waiting.attempts) == (None, 2)


def test_of_many_that_wait_the_first_and_the_latest_stay_with_the_number_of_the_others(
    world: World,
) -> None:
    watched(world, on_conflict="update", on_success={"task": "nobody"}, on_failure={"task": "ops"})
    end(world, *"s" * (MOST_WAITING + 5))
    end(world, "f")

    waiting = notified(world)
    assert [each.kind for each in waiting] == ["success"] * MOST_WAITING + ["failures"]
    assert [each.omitted for each in waiting] == [0] * (MOST_WAITING - 1) + [5, 0]
    runs = [each.event["data"]["run"]["id"] for each in waiting]
    executed = [run.id for run in world.runs(trigger=("manual",))]
    assert runs == [*executed[: MOST_WAITING - 1], *executed[-2:]]

    world.register("nobody", schedule=MANUAL)
    world.do(SendPending(100))

    data = event(world, "nobody")["data"]
    assert data["omitted"] == 5
    assert data["message"] == (
        "Task 't' has succeeded. (5 notifications before it were left out: too many could not be sent.)"
    )


@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_too_many_of_another_kind_that_another_replica_is_trying_are_left_to_it(
    world: World,
) -> None:
    watched(world, on_conflict="update", on_success={"task": "nobody"}, on_failure={"task": "ops"})
    end(world, "s")
    with world.transaction() as tx:
        row = dict(tx.connection.execute(select(notification)).mappings().one())
        more = [
            row | {"id": new_id(world.now), "caused_by": new_id(world.now)}
            for _ in range(MOST_WAITING)
        ]
        tx.connection.execute(insert(notification), more)

    with foreign_lock(world, select(notification)):
        end(world, "f")

    assert len(notified(world)) == MOST_WAITING + 2


def test_those_that_fail_again_and_again_are_bounded_as_well(world: World) -> None:
    ops(world)
    watched(world, on_conflict="update", on_success={"task": "ops"})
    for _ in range(MOST_WAITING + 3):
        end(world, "s")
        world.end(sending(world), BROKEN)

    waiting = notified(world)
    assert (len(waiting), waiting[-1].omitted) == (MOST_WAITING, 3)


def test_a_notification_about_a_deleted_task_is_not_sent(world: World) -> None:
    end(world, "f")
    world.delete()
    ops(world)

    world.clock.advance(HOUR)
    assert world.do(SendPending(100)) == 1

    assert types(world) == []
    assert world.read(earliest_pending) is None
    assert reported(world) == []


def test_the_runs_that_end_while_their_task_is_deleted_notify_nobody_later(world: World) -> None:
    ops(world)
    end(world, "f")
    started = sending(world)
    world.delete()
    world.end(started, BROKEN)
    world.clock.advance(HOUR)

    world.do(SendPending(100))

    assert (types(world), world.read(earliest_pending)) == (["failing"], None)


@pytest.mark.parametrize("damaged", ["{", "[]"])
def test_one_that_cannot_be_read_does_not_stop_the_others(world: World, damaged: str) -> None:
    end(world, "f")
    with world.transaction() as tx:
        tx.connection.execute(update(notification).values(event=damaged))
    world.register("u", schedule=MANUAL, retry={"max_attempts": 1}, on_failure={"task": "ops"})
    end(world, "f", name="u")
    ops(world)

    assert world.do(SendPending(100)) == 2

    assert types(world) == ["failing"]
    (waiting,) = notified(world)
    assert (waiting.run_id, waiting.attempts) == (None, 2)


def test_notifications_of_a_deleted_task_are_removed_in_batches(world: World) -> None:
    for _ in range(3):
        end(world, *"fs")
    assert world.count(notification) == 6
    world.delete()

    world.do(Purge(2))

    assert world.count(notification) == 4


@pytest.mark.parametrize("policy", ["skip", "buffer", "replace"])
def test_a_run_of_the_notified_task_neither_waits_for_a_notification_nor_replaces_it(
    world: World, policy: str
) -> None:
    ops(world, overlap_policy=policy)
    end(world, "f")

    made = world.run_now("ops")

    assert [run.status for run in world.runs("ops")] == ["queued", "queued"]
    assert made.waiting_on == ()
