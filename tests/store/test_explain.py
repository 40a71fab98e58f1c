"""Why a task is not running, did not run, or will not run: the facts of a real database, and what they come to."""

from datetime import datetime, timedelta
from typing import Any, NoReturn

import pytest

from rota.domain.explain.model import Explanation
from rota.domain.explain.task import explain_at, explain_now
from rota.domain.explain.time_slot import slot_at
from rota.domain.runs.outcomes import Lost, Postponed
from rota.domain.schedules.requested_times import RequestedTime
from rota.errors import Unplannable
from rota.store.alerts.checks import CheckAlerts
from rota.store.declared_handlers import DeclareHandler
from rota.store.explain.facts import explain_task, facts_of, facts_of_now
from rota.store.handlers import HandlerInfo
from rota.store.replicas import OUTSIDE
from rota.store.runs.claiming.claim import ReleaseDelayed
from rota.store.runs.queues import PutQueue
from rota.store.tasks.ping import Ping
from rota.store.tasks.run_commands import CancelRun
from tests.support.factories import BROKEN, DAY, HOUR, MINUTE, NOON, World, once

SECOND = timedelta(seconds=1)
EVERY_MINUTE = {"type": "interval", "every": 60}
DAILY = {"type": "cron", "expression": "0 9 * * *"}
NINE = NOON + 21 * HOUR


def why(world: World, name: str = "t") -> Explanation:
    """Why is the task not running now?"""
    with world.database.read() as connection:
        return explain_now(facts_of_now(connection, world.task(name), world.now))


def why_at(world: World, at: datetime, name: str = "t") -> Explanation:
    """Why did the task not run at a time?"""
    task = world.task(name)
    slot = slot_at(task, at)
    with world.database.read() as connection:
        return explain_at(facts_of(connection, task, world.now, slot), slot)


def answer(found: Explanation) -> tuple[str, str | None]:
    return found.verdict, found.reason


def queue(world: World, **fields: Any) -> None:
    world.do(
        PutQueue(**{"name": "default", "concurrency": None, "paused": False, "by": "me"} | fields)
    )


# ------------------------------------------------------------------------------------------------------------- now
def test_a_task_that_is_not_due_is_explained_with_its_next_fire_time(world: World) -> None:
    world.register()
    world.register("by-hand", schedule={"type": "manual"})

    assert answer(why(world)) == ("not_due", None)
    assert "2026-03-10T12:01:00.000Z" in why(world).message
    assert answer(why(world, "by-hand")) == ("not_scheduled", "manual")


def test_a_run_that_waits_for_a_worker_outside_is_explained(world: World) -> None:
    declared = HandlerInfo(
        name="work", description="", input_schema=None, timeout=None, isolation=OUTSIDE
    )
    world.do(DeclareHandler(declared))
    world.register(handler="work", schedule={"type": "manual"}, queue="mail")
    world.run_now()

    assert answer(why(world)) == ("waiting", "worker")
    assert "POST /v1/queues/mail/lease" in why(world).message
    queue(world, name="mail", paused=True)
    assert answer(why(world)) == ("waiting", "queue_paused")


def test_a_task_that_is_due_and_not_fired_yet_is_explained(world: World) -> None:
    world.register()
    world.clock.advance(MINUTE)

    assert answer(why(world)) == ("due", None)
    assert why_at(world, NOON + MINUTE).verdict == "due"


def test_a_run_is_followed_from_its_queue_to_its_end(world: World) -> None:
    world.register()
    world.clock.advance(MINUTE)
    world.fire()

    assert answer(why(world)) == ("waiting", "starting")
    (claimed,) = world.claim()
    assert answer(why(world)) == ("running", None)
    assert answer(why_at(world, NOON + MINUTE)) == ("running", None)
    assert "Attempt 1" in why(world).message
    world.succeed(claimed)
    assert answer(why(world)) == ("not_due", None)
    ran = why_at(world, NOON + MINUTE)
    assert answer(ran) == ("ran", None)
    assert ran.expected
    assert ran.run is not None
    assert ran.run.id == claimed.id


def test_a_run_that_is_requested_to_end_is_explained(world: World) -> None:
    world.register()
    claimed = world.start()
    world.do(CancelRun(claimed.id))

    assert "A cancel was requested" in why(world).message


def test_runs_ahead_in_the_queue_are_counted_by_priority_and_time(world: World) -> None:
    world.register("t", schedule={"type": "manual"})
    world.register("urgent", schedule={"type": "manual"}, priority=5, overlap_policy="allow")
    world.register("later", schedule={"type": "manual"})
    world.run_now("t")
    for _ in range(3):
        world.run_now("urgent")
    world.run_now("later")

    found = why(world)

    assert answer(found) == ("waiting", "queue")
    assert "3 runs come before it" in found.message
    assert "4 runs" in why(world, "later").message


def test_a_paused_and_a_full_queue_are_explained(world: World) -> None:
    world.register("other", schedule={"type": "manual"})
    world.register()
    world.start("other")
    world.run_now()

    queue(world, paused=True)
    assert answer(why(world)) == ("waiting", "queue_paused")
    queue(world, concurrency=1)
    assert answer(why(world)) == ("waiting", "queue_full")
    assert "1 of 1 slot is taken" in why(world).message
    queue(world, concurrency=2)
    assert answer(why(world)) == ("waiting", "starting")


def test_a_full_concurrency_key_is_explained_before_and_after_a_claim(world: World) -> None:
    key: dict[str, Any] = {"concurrency": {"key": "k"}, "schedule": {"type": "manual"}}
    world.register("other", **key)
    world.register(**key)
    world.start("other")
    world.run_now()

    assert answer(why(world)) == ("waiting", "concurrency")
    world.claim()
    found = why(world)
    assert answer(found) == ("blocked", "concurrency")
    assert "1 of at most 1 run with the concurrency key 'k'" in found.message


def test_a_retry_is_explained_with_its_time_and_error(world: World) -> None:
    world.register(retry={"initial_interval": "10m", "jitter": False})
    world.end(world.start(), BROKEN)

    found = why(world)

    assert answer(found) == ("retrying", None)
    assert "ValueError: broken" in found.message
    assert "2026-03-10T12:10:00.000Z" in found.message


def test_a_run_that_waits_for_its_time_is_explained(world: World) -> None:
    world.register(schedule={"type": "manual"})
    world.run_now(scheduled_for=NOON + HOUR)

    assert answer(why(world)) == ("waiting", "not_before")
    assert answer(why_at(world, NOON + HOUR)) == ("waiting", "not_before")


@pytest.mark.parametrize(
    ("waiting_on", "reason", "words"),
    [
        ("circuit:a.example", "circuit", "a.example does not answer: its circuit is open"),
        ("host:a.example:8443", "host", "a.example:8443 takes no more calls"),
    ],
)
def test_a_run_that_waits_for_its_host_is_explained_and_not_taken_for_a_retry(
    world: World, waiting_on: str, reason: str, words: str
) -> None:
    world.register(retry={"max_attempts": 3, "initial_interval": 10, "jitter": False})
    world.end(world.start(), BROKEN)
    world.clock.advance(10 * SECOND)
    world.do(ReleaseDelayed(1))
    (again,) = world.claim()

    world.end(again, Postponed(world.now + MINUTE, waiting_on, BROKEN.error))

    assert answer(why(world)) == ("waiting", reason)
    assert words in why(world).message
    assert "tried again at 2026-03-10T12:01:10.000Z; no attempt is used up" in why(world).message
    assert "Attempt 1 failed." in why(world).message


def test_a_run_behind_another_one_names_it(world: World) -> None:
    world.register(overlap_policy="buffer", schedule={"type": "manual"})
    first = world.start()
    world.clock.advance(MINUTE)
    second = world.run_now()

    ahead, behind = why(world), why_at(world, second.scheduled_for)

    assert answer(ahead) == ("running", None)  # of several the one that is the furthest on
    assert answer(behind) == ("blocked", "overlap")
    assert behind.run is not None
    assert behind.run.id == second.id
    assert f"{first.id}, which is running since" in behind.message


def test_an_unknown_handler_is_explained(world: World) -> None:
    world.register(schedule={"type": "manual"})
    world.run_now()
    world.end_lease(world.holder)

    found = why(world)

    assert answer(found) == ("waiting", "handler")
    assert "'noop' (0 live replicas)" in found.message


def test_constraints_are_explained_with_their_present_state(world: World) -> None:
    world.register("other", schedule={"type": "manual"})
    ready = {"type": "kv", "name": "ready", "task": "other", "key": "ready", "equals": True}
    shut = {"type": "window", "name": "office", "from": "13:00", "to": "14:00"}
    world.register(schedule={"type": "manual"}, constraints=[ready, shut])
    world.run_now()

    found = why(world)
    assert answer(found) == ("blocked", "constraint")
    assert "ready: waits until entry 'ready' of task 'other' equals true" in found.message
    assert "it opens at 2026-03-10T13:00:00.000Z" in found.message

    world.set("ready", True, "other")
    assert "ready: is met by now" in why(world).message


def test_a_pause_is_explained_with_author_and_reason(world: World) -> None:
    world.register()
    world.pause(reason="the API is being moved")
    world.clock.advance(HOUR)

    for found in (why(world), why_at(world, NOON + 5 * MINUTE), why_at(world, world.now + MINUTE)):
        assert answer(found) == ("paused", "the API is being moved")
        assert "by me (the API is being moved)" in found.message
    assert why_at(world, NOON + 5 * MINUTE).expected
    assert why_at(world, NOON + 5 * MINUTE).run is None


def test_a_run_that_waits_for_a_resumption_is_explained_as_paused(world: World) -> None:
    world.register(schedule={"type": "manual"})
    waiting = world.run_now()
    world.pause()

    found = why(world)

    assert answer(found) == ("paused", "paused")
    assert found.run is not None
    assert found.run.id == waiting.id


def test_an_ended_task_is_explained_with_its_last_run(world: World) -> None:
    world.register(schedule=once(NOON + MINUTE))
    world.register("gone")
    world.cancel("gone")
    world.clock.advance(MINUTE)
    world.fire()
    (claimed,) = world.claim()
    world.succeed(claimed)

    done, gone = why(world), why(world, "gone")

    assert answer(done) == ("completed", None)
    assert done.run is not None
    assert done.run.id == claimed.id
    assert answer(gone) == ("cancelled", None)
    assert answer(why_at(world, world.now + HOUR, "gone")) == ("cancelled", None)
    assert answer(why_at(world, world.now + HOUR)) == ("completed", None)


def test_a_successor_is_explained_with_its_awaited_predecessors(world: World) -> None:
    for name in ("a", "b"):
        world.register(name, schedule={"type": "manual"})
    world.register(schedule={"type": "after", "tasks": ["a", "b"]})
    world.succeed(world.start("a"))

    found = why(world)

    assert answer(found) == ("not_due", "predecessor")
    assert "still awaited 'b' (active)" in found.message
    world.succeed(world.start("b"))
    assert answer(why(world)) == ("waiting", "starting")


def test_a_task_that_follows_on_failures_is_explained_after_a_success(world: World) -> None:
    world.register("a", schedule={"type": "manual"})
    world.register(schedule={"type": "after", "tasks": ["a"], "on": ["failed"]})
    world.succeed(world.start("a"))

    found = why(world)

    assert answer(found) == ("not_due", "predecessor")
    assert found.message.endswith(
        "ended as failed: still awaited 'a' (active). A success is their normal end: it makes no run, and no skipped "
        "one ('a' succeeded last)."
    )


def test_a_task_whose_predecessors_have_all_ended_waits_for_the_next_end_of_one(
    world: World,
) -> None:
    for name in ("a", "b"):
        world.register(name, schedule={"type": "manual"})
    world.register(schedule={"type": "after", "tasks": ["a", "b"]})
    world.succeed(world.start("a"))
    world.register(schedule={"type": "after", "tasks": ["a"]}, on_conflict="update")

    found = why(world)

    assert answer(found) == ("not_due", "predecessor")
    assert found.message == (
        "It fires once these tasks have ended as succeeded: 'a'. Each has done so already, and was still waited for "
        "with another one then; it fires at the next such end."
    )


# ------------------------------------------------------------------------------------------------------- at a time
def test_a_failed_or_cancelled_run_is_explained_with_its_reason(world: World) -> None:
    world.register(retry={"max_attempts": 1})
    world.clock.advance(MINUTE)
    world.fire()
    (claimed,) = world.claim()
    world.end(claimed, BROKEN)
    world.clock.advance(MINUTE)
    world.fire()
    world.do(CancelRun(world.runs()[-1].id))

    failed, cancelled = (why_at(world, NOON + number * MINUTE) for number in (1, 2))

    assert answer(failed) == ("failed", "error")
    assert "(ValueError: broken)" in failed.message
    assert answer(cancelled) == ("cancelled", "requested")
    assert failed.expected
    assert cancelled.expected


def test_a_fire_time_that_overlapped_names_the_run_that_was_unfinished(world: World) -> None:
    world.register()
    world.clock.advance(MINUTE)
    world.fire()
    (first,) = world.claim()
    world.clock.advance(MINUTE)
    world.fire()
    world.succeed(first)

    found = why_at(world, NOON + 2 * MINUTE)

    assert answer(found) == ("skipped", "overlap")
    assert f"run {first.id} was unfinished when it came" in found.message
    assert found.expected


def test_every_fire_time_of_a_gap_is_explained_by_the_run_of_its_span(world: World) -> None:
    world.register()
    world.clock.advance(10 * MINUTE)
    world.fire()

    for minute in (1, 5, 9):
        found = why_at(world, NOON + minute * MINUTE)
        assert answer(found) == ("skipped", "misfire")
        assert "run_once" in found.message
        assert "9 fire times from 2026-03-10T12:01:00.000Z" in found.message
    assert why_at(world, NOON + 10 * MINUTE).verdict == "waiting"


def test_a_time_within_a_gap_that_is_no_fire_time_is_not_scheduled(world: World) -> None:
    world.register(schedule=DAILY)
    world.clock.advance(5 * DAY)
    world.fire()

    found = why_at(world, NINE + 2 * DAY + 3 * HOUR)

    assert answer(found) == ("not_scheduled", None)
    assert not found.expected
    assert "before is 2026-03-13T09:00:00.000Z" in found.message
    assert "after is 2026-03-14T09:00:00.000Z" in found.message


def test_excluded_fire_times_are_explained_before_and_after(world: World) -> None:
    world.register(schedule=DAILY | {"exclude": ["2026-03-11"]})

    ahead = why_at(world, NINE)
    world.clock.advance(DAY)
    world.fire()
    past = why_at(world, NINE)

    assert answer(ahead) == answer(past) == ("skipped", "excluded")
    assert "will not run" in ahead.message
    assert not ahead.expected
    assert not past.expected
    assert ahead.run is None
    assert past.run is not None


def test_future_times_are_explained(world: World) -> None:
    world.register(schedule=DAILY | {"max_runs": 2})

    assert answer(why_at(world, NINE + 30 * SECOND)) == ("in_future", None)  # within its minute
    assert why_at(world, NINE).expected
    assert answer(why_at(world, NINE + MINUTE)) == ("not_scheduled", None)
    assert answer(why_at(world, NINE + 2 * DAY)) == ("not_scheduled", "max_runs")


def test_times_before_the_task_or_its_schedule_are_explained(world: World) -> None:
    world.register(schedule=DAILY)
    before = why_at(world, NOON - DAY)
    world.clock.advance(3 * DAY)
    world.register(schedule={"type": "cron", "expression": "0 10 * * *"}, on_conflict="update")
    changed = why_at(world, NOON + DAY)

    assert answer(before) == ("before_registration", "registered_later")
    assert answer(changed) == ("before_registration", "schedule_changed")


def test_a_fire_time_that_was_never_fired_has_no_record(world: World) -> None:
    world.register(schedule=DAILY)
    world.cancel()
    world.clock.advance(3 * DAY)
    assert answer(why_at(world, NINE + DAY)) == ("cancelled", None)

    world.register(schedule=DAILY, on_conflict="update")  # revived: nothing fired meanwhile

    found = why_at(world, NINE + DAY)
    assert answer(found) == ("no_record", None)
    assert found.expected


def test_a_manual_run_is_found_by_its_time_though_nothing_was_scheduled(world: World) -> None:
    world.register(schedule=DAILY)
    claimed = world.start()
    world.succeed(claimed)

    found = why_at(world, NOON)

    assert answer(found) == ("ran", None)
    assert not found.expected


def test_an_explanation_changes_nothing(world: World) -> None:
    world.register()
    world.run_now()
    before = world.task(), world.runs()

    why(world)
    why_at(world, NOON)

    assert (world.task(), world.runs()) == before


# ---------------------------------------------------------------------------- explanations match what happened
def test_a_fire_time_that_the_jitter_of_a_member_moved_belongs_to_the_time_it_was_moved_from(
    world: World,
) -> None:
    members = [DAILY | {"jitter": "30m"}, {"type": "cron", "expression": "10 9,12 * * *"}]
    world.register(schedule={"type": "any_of", "schedules": members})
    world.clock.advance(21 * HOUR)

    ahead = why_at(world, NINE)
    world.clock.advance(10 * MINUTE)
    world.fire()  # the other member's
    between = why_at(world, NINE)
    world.clock.advance(20 * MINUTE)
    world.fire()
    moved = max(run.scheduled_for for run in world.runs())
    past = why_at(world, NINE)

    assert NINE + 10 * MINUTE < moved < NINE + 30 * MINUTE
    assert answer(ahead) == answer(between) == ("in_future", None)
    assert past.verdict == "skipped"  # the other one is unfinished
    assert past.run is not None
    assert past.run.scheduled_for == moved
    assert why_at(world, moved).run == past.run


def test_a_span_answers_for_a_fire_time_that_was_moved_into_it(world: World) -> None:
    schedule = {"type": "any_of", "schedules": [DAILY | {"jitter": "30m"}]}
    world.register(schedule=schedule)
    world.clock.advance(3 * DAY)
    world.fire()

    assert answer(why_at(world, NINE)) == ("skipped", "misfire")
    assert answer(why_at(world, NINE + DAY)) == ("skipped", "misfire")


def test_of_two_fire_times_in_a_minute_each_is_explained_by_itself(world: World) -> None:
    members = [
        {"type": "interval", "every": "1h", "anchor": f"2026-03-10T12:{at}Z"}
        for at in ("30:10", "30:40")
    ]
    world.register(schedule={"type": "any_of", "schedules": members}, overlap_policy="allow")
    for _ in range(2):
        world.clock.advance(30 * MINUTE + 25 * SECOND if world.now == NOON else 30 * SECOND)
        world.fire()

    first, second = (why_at(world, NOON + 30 * MINUTE + each * SECOND) for each in (10, 40))

    assert first.run is not None
    assert second.run is not None
    assert (first.run.scheduled_for.second, second.run.scheduled_for.second) == (10, 40)


def test_a_time_beyond_the_last_run_names_none_that_never_comes(world: World) -> None:
    world.register(schedule=DAILY | {"max_runs": 2})

    beyond = why_at(world, NINE + 5 * DAY + HOUR)
    last = why_at(world, NINE + DAY + HOUR)

    assert beyond.message.endswith(": the one before is 2026-03-12T09:00:00.000Z.")
    assert last.message.endswith(": the one before is 2026-03-12T09:00:00.000Z.")
    for _ in range(2):
        world.clock.advance(DAY)
        world.fire()
        (claimed,) = world.claim()
        world.succeed(claimed)
    done = why_at(world, NINE + HOUR + DAY / 2)
    assert answer(done) == ("not_scheduled", None)
    assert "the one after is 2026-03-12T09:00:00.000Z." in done.message
    assert "max_runs (2) has been reached" in why(world).message


def test_a_paused_task_does_not_promise_fire_times_beyond_max_runs(world: World) -> None:
    world.register(schedule=DAILY | {"max_runs": 2})
    world.pause()

    assert why_at(world, NINE + DAY).expected
    assert not why_at(world, NINE + 2 * DAY).expected


def test_beside_a_time_that_is_left_out_those_that_run_are_named(world: World) -> None:
    out = ["2026-03-12", "2026-03-13"]
    world.register(schedule=DAILY | {"exclude": out, "end_at": "2026-03-14T09:00:00Z"})

    before, after, over = (why_at(world, NINE + each * DAY + HOUR) for each in (0, 2, 3))

    around = (
        "the one before is 2026-03-11T09:00:00.000Z and the one after is 2026-03-14T09:00:00.000Z."
    )
    assert before.message.endswith(around)
    assert after.message.endswith(around)
    assert over.message.endswith("Z: the one before is 2026-03-14T09:00:00.000Z.")


def test_several_excluded_fire_times_are_explained_as_several(world: World) -> None:
    world.register(schedule={"type": "cron", "expression": "0 * * * *", "exclude": ["2026-03-10"]})
    world.clock.advance(14 * HOUR)
    world.fire()

    found = why_at(world, NOON + 3 * HOUR)

    assert "11 fire times" in found.message
    assert found.message.endswith("were skipped: the schedule leaves them out (exclude).")


def test_a_misfire_of_a_task_that_skips_is_explained_with_its_grace(world: World) -> None:
    world.register(misfire_policy="skip", misfire_grace="5m")
    world.clock.advance(HOUR + 30 * SECOND)
    world.fire()

    found = why_at(world, NOON + MINUTE)

    assert answer(found) == ("skipped", "misfire")
    assert "skip runs only what is at most misfire_grace (5 minutes) late" in found.message


def test_lost_attempts_are_explained_at_every_stage(world: World) -> None:
    world.register(retry={"initial_interval": 1, "jitter": False})
    world.clock.advance(MINUTE)
    world.fire()
    (claimed,) = world.claim()
    world.end(claimed, Lost())

    assert "Attempt 1 was lost." in why(world).message
    world.clock.advance(34 * SECOND)
    (again,) = world.claim()
    assert why(world).message.endswith("since 2026-03-10T12:01:34.000Z. Attempt 1 was lost.")
    world.end(again, BROKEN)
    retrying = why(world)
    assert retrying.verdict == "retrying"
    assert retrying.message.startswith("Attempt 2 did not succeed")
    assert retrying.message.endswith("Attempt 1 was lost.")
    world.clock.advance(MINUTE / 2)
    world.do(ReleaseDelayed(10))
    (third,) = world.claim()
    world.succeed(third)

    ran = why_at(world, NOON + MINUTE)
    assert ran.message == (
        "It ran: started at 2026-03-10T12:01:00.000Z, 0.000 s after its fire time, and attempt 3, which started at "
        "2026-03-10T12:02:04.000Z, succeeded at 2026-03-10T12:02:04.000Z. Attempt 1 was lost and attempt 2 failed."
    )


def test_a_one_off_that_fired_too_late_is_explained_with_its_run(world: World) -> None:
    world.register(schedule=once(NOON + MINUTE), misfire_policy="skip")
    world.clock.advance(HOUR)
    world.fire()

    now, then, later = why(world), why_at(world, NOON + MINUTE), why_at(world, NOON + DAY)

    (skipped,) = world.runs()
    assert answer(then) == ("skipped", "misfire")
    assert answer(now) == answer(later) == ("completed", "misfire")
    assert now.run == then.run == later.run == skipped
    assert (
        "Of the last one: 2026-03-10T12:01:00.000Z was skipped: no replica could fire"
        in now.message
    )


def test_after_a_broken_chain_the_one_that_failed_is_named_with_its_run(world: World) -> None:
    for name in ("a", "b"):
        world.register(name, schedule={"type": "manual"}, retry={"max_attempts": 1})
    world.register(schedule={"type": "after", "tasks": ["a", "b"]})
    failed = world.start("a")
    world.end(failed, BROKEN)

    now = why(world)
    (skipped,) = world.runs()
    then = why_at(world, skipped.scheduled_for)

    assert answer(now) == ("not_due", "predecessor")
    assert answer(then) == ("skipped", "predecessor")
    assert now.run == then.run == skipped
    for found in (now, then):
        assert f"run {failed.id} of task 'a' has ended as failed (error)" in found.message
    world.succeed(world.start("a"))
    world.succeed(world.start("b"))
    (claimed,) = world.claim()
    world.succeed(claimed)
    assert failed.id not in why(world).message


def test_a_resumption_that_cannot_be_planned_shows_the_task_as_it_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register()
    world.pause()
    world.clock.advance(HOUR)
    monkeypatch.setattr("rota.store.tasks.transitions.plan", _cannot)

    with pytest.raises(Unplannable) as refused:
        world.resume()

    assert refused.value.present["task"]["status"] == world.task().status == "paused"


def _cannot(*_args: object) -> NoReturn:
    raise Unplannable("The time zone 'Mars/Olympus' is not known any more.")


def test_an_unplannable_task_is_explained_with_its_runs_and_the_remedy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register(schedule=DAILY | {"timezone": "Asia/Tokyo"})
    world.clock.advance(DAY)
    world.fire()
    (claimed,) = world.claim()
    world.succeed(claimed)
    with monkeypatch.context() as patch:
        patch.setattr("rota.domain.explain.time_slot.fire_times", _cannot)

        ran = why_of(world, claimed.scheduled_for)
        ahead = why_of(world, world.now + DAY)
        before = why_of(world, NOON - DAY)

    assert ran.verdict == "ran"
    assert before.verdict == "before_registration"
    assert answer(ahead) == ("unplannable", "unplannable")
    assert ahead.message.startswith(
        "The time zone 'Mars/Olympus' is not known any more. POST /v1/tasks/t/resume is enough"
    )


def why_of(world: World, at: datetime, name: str = "t") -> Explanation:
    """Ask as a client does."""
    with world.database.read() as connection:
        return explain_task(connection, world.task(name), world.now, RequestedTime(at, at))


def test_raised_alerts_and_what_is_overdue_are_part_of_the_answer(world: World) -> None:
    world.register("ops", schedule={"type": "manual"})
    rule = {"task": "ops", "success_within": "2h"}
    world.register(on_failure=rule, schedule={"type": "interval", "every": "30d"})
    world.register(
        "switch",
        schedule={"type": "manual"},
        expect_every="1h",
        on_failure={"task": "ops", "after": 5},
    )
    assert "raised" not in why(world).message
    world.do(Ping(task="switch", status="failed"))
    assert why(world, "switch").message.endswith(
        "A success or a ping is expected every hour: the last was at 2026-03-10T12:00:00.000Z."
    )

    world.clock.advance(2 * HOUR)
    world.do(CheckAlerts(10))

    assert answer(why(world)) == ("not_due", None)
    assert why(world).message.endswith(
        "An alert is raised: no run succeeds (no_success) since 2026-03-10T14:00:00.000Z."
    )
    assert why(world, "switch").message.endswith(
        "A success or a ping is expected every hour: the last was at 2026-03-10T12:00:00.000Z, so one is 1 hour "
        "overdue. An alert is raised: it is not heard of (no_ping) since 2026-03-10T14:00:00.000Z."
    )


def test_the_pause_of_a_task_without_fire_times_does_not_talk_of_them(world: World) -> None:
    world.register("first", schedule={"type": "manual"})
    world.register(schedule={"type": "after", "tasks": ["first"]})
    for name in ("first", "t"):
        world.pause(name)

        found = why(world, name)

        assert answer(found) == ("paused", None)
        assert "ire times" not in found.message
    assert "POST /v1/tasks/first/run) is executed anyway" in why(world, "first").message
