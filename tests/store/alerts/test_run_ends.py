"""What the end of a run raises and ends."""

from typing import Any

import pytest
from sqlalchemy.event import listen

from rota.db.tables import alert, notification
from rota.domain.primitives.json import json_text
from rota.errors import Invalid
from rota.store.tasks.ping import Ping
from tests.support.factories import BROKEN, HOUR, MINUTE, World, finish, success, together


def types(world: World, name: str = "ops") -> list[str]:
    """Return the types of the events that a task was run with, the earliest first."""
    return [
        json_text.loads(run.input)["type"].removeprefix("alert.")
        for run in world.runs(name, trigger=("notification",))
    ]


def event(world: World, name: str = "ops") -> dict[str, Any]:
    """Return the latest event that a task was run with."""
    found: dict[str, Any] = json_text.loads(world.runs(name, trigger=("notification",))[-1].input)
    return found


def end(world: World, *outcomes: str, name: str = "t") -> None:
    """Let runs of a task end, one after the other: `f` fails, `s` succeeds."""
    for each in outcomes:
        world.clock.advance(MINUTE)
        started = world.start(name)
        world.succeed(started) if each == "s" else world.end(started, BROKEN)


@pytest.fixture(autouse=True)
def ops(world: World) -> None:
    world.register("ops", schedule={"type": "manual"})


def watched(world: World, **rules: Any) -> None:
    world.register(
        schedule={"type": "manual"}, overlap_policy="allow", retry={"max_attempts": 1}, **rules
    )


def test_failures_in_a_row_notify_once_and_so_does_the_recovery(world: World) -> None:
    watched(world, on_failure={"task": "ops", "after": 2})

    end(world, *"fsffffssff")

    assert types(world) == ["failing", "recovered", "failing"]


def test_the_event_says_what_has_failed(world: World) -> None:
    watched(world, on_failure={"task": "ops", "after": 2}, description="Bills.", tags=["shop"])
    end(world, *"ff")

    data = event(world)["data"]
    failed = world.runs()[-1]
    assert data["message"] == "Task 't' has failed 2 times in a row: ValueError: broken."
    assert (data["kind"], data["task"], data["tags"]) == ("failures", "t", ["shop"])
    assert (data["consecutive_failures"], data["last_success_at"]) == (2, None)
    assert data["run"] == {
        "id": failed.id,
        "status": "failed",
        "reason": "error",
        "error": {
            "type": "ValueError",
            "message": "broken",
            "traceback": None,
            "response": None,
            "phase": None,
        },
        "trigger": "manual",
        "attempt": 1,
        "scheduled_for": "2026-03-10T12:02:00.000Z",
        "started_at": "2026-03-10T12:02:00.000Z",
        "finished_at": "2026-03-10T12:02:00.000Z",
        "lateness": 0,
        "duration": 0,
    }
    assert data["links"]["logs"] == f"/v1/runs/{failed.id}/logs"


def test_without_recovery_only_failures_are_notified(world: World) -> None:
    watched(world, on_failure={"task": "ops", "recovery": False})

    end(world, *"fsf")

    assert types(world) == ["failing", "failing"]


def test_a_rate_of_failures_is_raised_once_however_they_are_spread(world: World) -> None:
    watched(world, on_failure={"task": "ops", "rate": {"failed": 2, "of": 4}})

    end(world, *"fsfsfsfssss")

    assert types(world) == ["failing", "recovered"]


def test_each_success_notifies(world: World) -> None:
    watched(world, on_success={"task": "ops"})

    end(world, *"sfs")

    assert types(world) == ["succeeded", "succeeded"]
    assert world.count(alert) == 0


def test_skipped_fire_times_notify_once_until_a_run_is_executed(world: World) -> None:
    world.register(overlap_policy="skip", on_skipped={"task": "ops"})
    for _ in range(2):
        running = world.start()
        for _ in range(3):
            world.clock.advance(MINUTE)
            world.fire()
        world.succeed(running)

    assert types(world) == ["skipped", "skipped"]


def test_what_was_skipped_on_purpose_notifies_only_where_the_rule_names_it(world: World) -> None:
    world.register("t", on_skipped={"task": "ops"})
    world.register("u", on_skipped={"task": "ops", "reasons": ["paused"]})
    for name in "tu":
        world.pause(name)
    world.clock.advance(HOUR)
    for name in "tu":
        world.resume(name)
    world.fire()

    assert [json_text.loads(run.input)["data"]["task"] for run in world.runs("ops")] == ["u"]


def test_runs_of_notifications_raise_nothing(world: World) -> None:
    watched(world, on_failure={"task": "ops"})
    world.register("ops", on_conflict="update", on_failure={"task": "t"}, retry={"max_attempts": 1})
    end(world, "f")

    (sending,) = world.claim()
    world.end(sending, BROKEN)

    assert (types(world), types(world, "t")) == (["failing"], [])
    assert world.count(notification) == 1


def test_failures_of_a_notifier_count_but_neither_raise_nor_end_an_alert_of_it(
    world: World,
) -> None:
    rules = {"on_failure": {"task": "boss", "after": 2}, "on_success": {"task": "boss"}}
    world.register("boss", schedule={"type": "manual"})
    world.register("ops", on_conflict="update", retry={"max_attempts": 1}, **rules)
    watched(world, on_failure={"task": "ops"}, on_success={"task": "ops"})
    for _ in range(3):
        end(world, "s")
        world.end(world.claim(1)[0], BROKEN)

    assert world.task("ops").consecutive_failures == 3
    assert types(world, "boss") == []

    end(world, "f", name="ops")
    assert types(world, "boss") == ["failing"]  # four in a row, the last of which raises it
    end(world, "s")
    world.succeed(world.claim(1, queue="default")[0])
    assert types(world, "boss") == ["failing"]


def test_nothing_is_raised_while_a_task_is_paused(world: World) -> None:
    watched(world, on_failure={"task": "ops"})
    running = world.start()
    world.pause()
    world.end(running, BROKEN)
    assert types(world) == []

    world.resume()
    end(world, "f")
    assert types(world) == ["failing"]


def test_a_task_cannot_notify_itself(world: World) -> None:
    with pytest.raises(Invalid) as raised:
        watched(world, on_failure={"task": "t"})

    assert [fault.pointer for fault in raised.value.faults] == ["/on_failure/task"]


def test_a_task_without_rules_costs_no_further_statement(world: World) -> None:
    """The look at the tasks of ended runs is the one that was made before there were alerts."""
    watched(world)
    statements: list[str] = []
    listen(
        world.database.writing, "before_cursor_execute", lambda *event: statements.append(event[2])
    )

    end(world, "s")

    assert not [each for each in statements if " alert" in each or "notification" in each]


def test_a_failure_that_ends_with_a_later_success_in_one_commit_is_counted_by_a_rate(
    world: World,
) -> None:
    watched(world, on_failure={"task": "ops", "rate": {"failed": 2, "of": 5}})
    end(world, "f")
    bad, good = world.start(), world.start()

    ends = [
        finish(bad, BROKEN, holder=world.holder),
        finish(good, success(good), holder=world.holder),
    ]
    together(world.writer, ends)

    assert types(world) == ["failing"]
    assert event(world)["data"]["run"]["id"] == bad.id


def test_a_skip_that_is_added_to_those_before_it_is_notified_if_these_were_not(
    world: World,
) -> None:
    world.register(misfire_policy="skip", misfire_grace="1s", on_skipped={"task": "ops"})

    world.clock.advance(MINUTE / 2)

    def misfire() -> None:
        world.clock.advance(2 * MINUTE)
        world.fire()

    misfire()
    misfire()
    assert types(world) == ["skipped"]
    world.do(Ping(task="t"))  # an executed run, which the schedule did not make
    misfire()

    assert types(world) == ["skipped", "skipped"]
    skipped = world.runs(status=("skipped",))
    assert [run.id for run in skipped] == [event(world)["data"]["run"]["id"]]
