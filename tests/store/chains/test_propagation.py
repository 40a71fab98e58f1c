"""Successors: which runs count, when they fire, and which results they get."""

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, update

from rota.db import tables
from rota.domain.chains.result_merge import MOST_INPUT_BYTES, without_runs
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.domain.runs.model import Run
from rota.domain.runs.outcomes import Cancelled, Failed, Lost, Outcome, Succeeded
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import OnConflict, TaskStatus
from rota.store.chains.predecessors import missing_predecessors
from rota.store.chains.propagation import AT_A_TIME
from rota.store.chains.successors import successors_of
from rota.store.task_rows import TaskFilter
from rota.store.tasks.bulk import DoEach
from rota.store.tasks.bulk_verbs import cancel_each
from rota.store.tasks.registration import Register, RegisterAll
from rota.store.tasks.run_commands import CancelRun
from tests.support.factories import (
    BROKEN,
    MINUTE,
    NOON,
    World,
    define,
    finish,
    once,
    success,
    together,
)

MANUAL = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}
ONE_ATTEMPT = {"retry": {"max_attempts": 1}}


def after(*tasks: str, **fields: Any) -> dict[str, Any]:
    """Return a schedule: after these tasks."""
    return {"type": "after", "tasks": list(tasks), **fields}


def manual(world: World, *names: str, **fields: Any) -> None:
    for name in names:
        world.register(name, **MANUAL | ONE_ATTEMPT | fields)


def follows(world: World, *tasks: str, name: str = "s", rule: Any = None, **fields: Any) -> None:
    """Register a task that comes after others; its runs wait in a queue of their own."""
    defaults = {"overlap_policy": "allow", "queue": "later"}
    world.register(name, **defaults | {"schedule": after(*tasks, **rule or {})} | fields)


def end(world: World, name: str, outcome: Outcome | None = None, result: Any = None) -> Run:
    """Run a task to its end, by default with a success; return the run."""
    claimed = world.start(name)
    world.end(claimed, outcome or Succeeded(json_text.dumps(result)))
    return world.run(claimed.id)


def inputs(world: World, name: str = "s") -> list[Any]:
    """Return the inputs of the runs that are not skipped, without their description of the predecessors' runs."""
    executed = [run for run in world.runs(name) if run.status != "skipped"]
    return [without_runs(json_text.loads(run.input)) for run in executed]


def statuses(world: World, name: str = "s") -> list[tuple[str, str | None]]:
    return [(run.status, run.reason) for run in world.runs(name)]


def waits_for(world: World, name: str = "s") -> list[tuple[str, ...]]:
    return [tuple(each) for each in world.read(missing_predecessors, world.task(name).id)]


SKIPPED = ("skipped", "predecessor")
QUEUED = ("queued", None)


def test_a_task_fires_when_the_one_that_it_comes_after_has_succeeded(world: World) -> None:
    manual(world, "a")
    follows(world, "a", input={"kind": "daily"}, priority=3)
    world.clock.advance(MINUTE)

    first = end(world, "a", result={"rows": 3})

    (run,) = world.runs("s")
    assert run.trigger is Trigger.AFTER
    assert run.status is RunStatus.QUEUED
    assert run.scheduled_for == first.finished_at == NOON + MINUTE
    assert (run.priority, run.task_generation) == (3, 1)
    assert inputs(world) == [{"kind": "daily", "results": {"a": {"rows": 3}}}]
    (claimed,) = world.claim(queue="later")
    world.succeed(claimed)
    assert [run.status for run in world.runs("s")] == ["succeeded"]


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        ("by_task", {"own": 1, "results": {"b": {"n": 2}, "a": {"n": 1}}}),
        ("collect", {"own": 1, "results": [{"n": 2}, {"n": 1}]}),
        ("overwrite", {"own": 1, "n": 1}),
    ],
)
def test_results_are_merged_in_the_order_of_the_list(
    world: World, merge: str, expected: Any
) -> None:
    manual(world, "a", "b")
    follows(world, "b", "a", rule={"merge": merge}, input={"own": 1})

    end(world, "a", result={"n": 1})
    end(world, "b", result={"n": 2})

    assert inputs(world) == [expected]


def test_of_several_it_waits_for_each_and_the_latest_run_counts(world: World) -> None:
    manual(world, "a", "b")
    follows(world, "a", "b")

    for number in (1, 2):
        end(world, "a", result=number)
    assert world.runs("s") == []
    end(world, "b", result="b")
    end(world, "b", result="again")

    assert inputs(world) == [{"results": {"a": 2, "b": "b"}}]
    end(world, "a", result=3)
    assert inputs(world)[1] == {"results": {"a": 3, "b": "again"}}


def test_a_failed_predecessor_skips_a_run_and_its_earlier_success_no_longer_counts(
    world: World,
) -> None:
    manual(world, "a", "b")
    follows(world, "a", "b", input={"own": 1})

    end(world, "a")
    failed = end(world, "a", BROKEN)
    end(world, "b")

    (run,) = world.runs("s")
    assert (run.status, run.reason) == SKIPPED
    assert run.error is not None
    assert run.error.type == "predecessor"
    assert run.error.message == f"run {failed.id} of task 'a' has ended as failed (error)"
    assert json_text.loads(run.input) == {"own": 1}
    end(world, "a")
    assert statuses(world) == [SKIPPED, QUEUED]


@pytest.mark.parametrize(
    ("on", "outcome", "expected"),
    [
        (["failed"], BROKEN, QUEUED),
        (["cancelled"], BROKEN, SKIPPED),
        (["failed"], Cancelled(), SKIPPED),
        (["succeeded", "failed"], BROKEN, QUEUED),
        (["cancelled"], Cancelled(), QUEUED),
        (["succeeded"], Cancelled(), SKIPPED),
    ],
)
def test_the_schedule_declares_which_outcomes_count(
    world: World, on: list[str], outcome: Outcome, expected: Any
) -> None:
    manual(world, "a")
    follows(world, "a", rule={"on": on})

    end(world, "a", outcome)

    assert statuses(world) == [expected]


@pytest.mark.parametrize("merge", ["by_task", "collect", "overwrite"])
def test_the_input_contains_how_the_runs_of_the_predecessors_ended(
    world: World, merge: str
) -> None:
    manual(world, "a", "b")
    follows(world, "a", "b", rule={"on": ["failed", "succeeded"], "merge": merge})
    reply = ErrorResponse(500, {}, '{"error": "no column foo"}', url_path="/load")
    broken = Failed(RunError("http.status", "500 from crm", traceback="…", response=reply))

    failed = end(world, "a", broken)
    succeeded = end(world, "b")

    (run,) = world.runs("s")
    told = json_text.loads(run.input)["runs"]
    assert list(told) == ["a", "b"]
    assert told["a"] == {
        "id": failed.id,
        "status": "failed",
        "reason": "error",
        "error": {
            "type": "http.status",
            "message": "500 from crm",
            "traceback": None,
            "response": asdict(reply),
        },
        "attempt": 1,
        "scheduled_for": "2026-03-10T12:00:00.000Z",
        "finished_at": "2026-03-10T12:00:00.000Z",
    }
    assert told["b"]["id"] == succeeded.id
    assert (told["b"]["status"], told["b"]["reason"], told["b"]["error"]) == (
        ("succeeded", None, None)
    )


def test_the_runs_are_left_out_of_an_input_that_would_be_too_large_with_them(world: World) -> None:
    manual(world, "a")
    follows(world, "a")

    end(world, "a", result="x" * (MOST_INPUT_BYTES - len('{"results":{"a":""}}')))

    (run,) = world.runs("s")
    assert (run.status, len(run.input)) == ("queued", MOST_INPUT_BYTES)


@pytest.mark.parametrize("on", ["failed", "cancelled", "skipped"])
def test_a_success_leaves_no_row_of_a_task_that_follows_on_another_end(
    world: World, on: str
) -> None:
    manual(world, "a")
    follows(world, "a", rule={"on": [on]})
    follows(world, "s", name="t")

    end(world, "a")

    assert world.runs("s") == world.runs("t") == []


def test_a_success_takes_back_an_earlier_failure_of_its_task_without_a_row(world: World) -> None:
    manual(world, "a", "b")
    follows(world, "a", "b", rule={"on": ["failed"]})

    for name, outcome in (("a", BROKEN), ("a", None), ("b", BROKEN)):
        end(world, name, outcome)
    assert world.runs("s") == []
    end(world, "a", BROKEN)

    assert statuses(world) == [QUEUED]


@pytest.mark.parametrize("trigger", list(Trigger))
def test_reruns_backfills_and_notifications_do_not_count(world: World, trigger: Trigger) -> None:
    manual(world, "a")
    follows(world, "a")
    claimed = world.start("a")

    world.succeed(replace(claimed, trigger=trigger))

    counts = trigger not in {Trigger.RERUN, Trigger.BACKFILL, Trigger.NOTIFICATION}
    assert len(world.runs("s")) == counts


def test_an_attempt_that_does_not_end_its_run_notifies_no_successor(world: World) -> None:
    manual(world, "a", retry={"max_attempts": 2})
    follows(world, "a")
    claimed = world.start("a")

    world.end(claimed, Lost())

    assert world.runs("s") == []


def test_a_run_that_never_started_notifies_no_successor(world: World) -> None:
    world.register("a", overlap_policy="skip")
    follows(world, "a")
    follows(world, "a", name="t", rule={"on": ["skipped"]})

    for _ in range(2):
        world.clock.advance(MINUTE)
        world.fire()

    assert statuses(world, "a") == [QUEUED, ("skipped", "overlap")]
    assert (statuses(world), statuses(world, "t")) == ([], [QUEUED])


def test_a_cancelled_waiting_run_notifies_successors(world: World) -> None:
    manual(world, "a")
    follows(world, "a")

    world.do(CancelRun(world.run_now("a").id))

    assert statuses(world) == [SKIPPED]


def test_a_skip_is_propagated_down_the_chain_once_for_each_task(world: World) -> None:
    manual(world, "a")
    follows(world, "a", name="b")
    follows(world, "a", "b", name="c")
    follows(world, "c", name="d")

    end(world, "a", BROKEN)

    assert statuses(world, "b") == [SKIPPED]
    # Both predecessors have ended otherwise, and each skips a run.
    assert statuses(world, "c") == [SKIPPED] * 2
    assert statuses(world, "d") == [SKIPPED] * 2
    assert "of task 'b' has ended as skipped (predecessor)" in str(world.runs("c")[1].error)


def test_runs_that_end_in_one_group_count_one_after_the_other(world: World) -> None:
    manual(world, "a", "b")
    follows(world, "a", "b")
    claimed = [world.start(name) for name in ("a", "b", "a", "b", "a")]

    answers = together(
        world.writer,
        [
            finish(run, success(run, str(index)), holder=world.holder)
            for index, run in enumerate(claimed)
        ],
    )

    assert [answer.result().status for answer in answers] == ["succeeded"] * 5
    assert [each["results"] for each in inputs(world)] == [{"a": 0, "b": 1}, {"a": 2, "b": 3}]
    end(world, "b", result=5)
    assert inputs(world)[2] == {"results": {"a": 4, "b": 5}}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("skip", [("running", None), ("skipped", "overlap"), ("skipped", "overlap")]),
        ("buffer", [("running", None), ("blocked", None), ("blocked", None)]),
        ("allow", [("running", None), QUEUED, QUEUED]),
        ("replace", [("running", None), ("cancelled", "replaced"), ("blocked", None)]),
    ],
)
def test_a_firing_that_meets_an_unfinished_run_goes_by_the_overlap_policy(
    world: World, policy: str, expected: Any
) -> None:
    manual(world, "a")
    follows(world, "a", overlap_policy=policy)
    end(world, "a")
    (running,) = world.claim(queue="later")
    claimed = [world.start("a") for _ in range(2)]

    together(world.writer, [finish(run, success(run), holder=world.holder) for run in claimed])

    assert statuses(world) == expected
    assert world.run(running.id).cancel_requested_at == (NOON if policy == "replace" else None)


def test_the_successor_of_a_replaced_run_is_notified_in_the_same_commit(world: World) -> None:
    manual(world, "a")
    follows(world, "a", overlap_policy="replace")
    follows(world, "s", name="t")

    end(world, "a")
    end(world, "a")

    assert statuses(world) == [("cancelled", "replaced"), QUEUED]
    assert statuses(world, "t") == [SKIPPED]


def test_firings_during_a_pause_are_one_skipped_run(world: World) -> None:
    manual(world, "a")
    follows(world, "a")
    follows(world, "s", name="t")
    world.pause("s")

    for _ in range(3):
        world.clock.advance(MINUTE)
        end(world, "a")
    claimed = [world.start("a") for _ in range(2)]
    together(world.writer, [finish(run, success(run), holder=world.holder) for run in claimed])

    (gap,) = world.runs("s")
    assert (gap.status, gap.reason, gap.count) == ("skipped", "paused", 5)
    assert (gap.scheduled_for, gap.scheduled_until) == (NOON + MINUTE, NOON + 3 * MINUTE)
    world.resume("s")
    world.clock.advance(MINUTE)
    end(world, "a")
    world.pause("s")
    end(world, "a")
    paused = ("skipped", "paused")
    assert statuses(world) == [paused, ("blocked", None), paused]
    assert world.runs("t") == []


def test_after_as_many_runs_as_it_may_have_a_task_is_completed(world: World) -> None:
    manual(world, "a")
    follows(world, "a", rule={"max_runs": 2})

    end(world, "a", BROKEN)
    claimed = [world.start("a") for _ in range(3)]
    together(world.writer, [finish(run, success(run), holder=world.holder) for run in claimed])

    assert statuses(world) == [SKIPPED, QUEUED, QUEUED]
    done = world.task("s")
    assert (done.status, done.status_changed_by, done.fired) == (TaskStatus.COMPLETED, "rota", 2)
    again = world.registration(
        "s",
        overlap_policy="allow",
        queue="later",
        schedule=after("a", max_runs=2),
        on_conflict=OnConflict.UPDATE,
    )
    assert (again.outcome, again.task.status) == ("unchanged", TaskStatus.COMPLETED)


def test_before_its_start_at_no_run_counts_and_after_its_end_at_a_task_is_completed(
    world: World,
) -> None:
    manual(world, "a", "b")
    bounds = {"start_at": (NOON + MINUTE).isoformat(), "end_at": (NOON + 2 * MINUTE).isoformat()}
    follows(world, "a", "b", rule=bounds)

    end(world, "a", BROKEN)
    end(world, "a")
    world.clock.advance(MINUTE)
    end(world, "b")
    assert world.runs("s") == []
    end(world, "a")
    assert statuses(world) == [QUEUED]
    world.clock.advance(MINUTE + timedelta(milliseconds=1))
    end(world, "a", BROKEN)

    assert statuses(world) == [QUEUED]
    assert world.task("s").status is TaskStatus.COMPLETED


@pytest.mark.parametrize("how", ["cancelled", "deleted"])
def test_a_removed_task_notifies_successors_once_however_many_runs_it_had(
    world: World, how: str
) -> None:
    manual(world, "a", "b")
    follows(world, "a", "b")
    follows(world, "s", name="t")
    end(world, "a")
    running = world.start("a")
    world.run_now("a")

    (world.cancel if how == "cancelled" else world.delete)("a")

    (run,) = world.runs("s")
    assert (run.status, run.reason) == SKIPPED
    assert run.error is not None
    assert run.error.message == f"task 'a' was {how}"
    assert statuses(world, "t") == [SKIPPED]
    assert waits_for(world) == [("a", "missing" if how == "deleted" else "cancelled")]
    if how == "cancelled":
        world.end(running, Cancelled())
        world.delete("a")
    end(world, "b")
    assert statuses(world) == [SKIPPED]


def test_a_task_that_is_registered_again_counts_again(world: World) -> None:
    manual(world, "a")
    follows(world, "a")

    world.delete("a")
    manual(world, "a")
    end(world, "a", result=1)

    assert statuses(world) == [SKIPPED, QUEUED]
    assert waits_for(world) == []


def test_tasks_that_are_cancelled_by_a_selector_notify_successors(world: World) -> None:
    manual(world, "a1", "a2", tags=["a"])
    follows(world, "a1", "a2")

    world.do(DoEach(verb=cancel_each("me"), wanted=TaskFilter(tag=("a",))))

    assert statuses(world) == [SKIPPED] * 2


def test_a_task_whose_unfinished_runs_are_replaced_has_ended_otherwise(world: World) -> None:
    manual(world, "a")
    follows(world, "a")
    world.run_now("a")

    manual(world, "a", on_conflict=OnConflict.REPLACE)

    assert statuses(world) == [SKIPPED]


@pytest.mark.parametrize("verb", ["cancel", "delete"])
def test_an_ended_successor_is_not_notified(world: World, verb: str) -> None:
    manual(world, "a")
    follows(world, "a")

    getattr(world, verb)("s")
    end(world, "a")

    assert world.count(tables.run, tables.run.c.trigger == "after") == 0


def test_predecessors_that_will_not_run_are_reported(world: World) -> None:
    manual(world, "gone", "off", "idle", "fine", "paused")
    world.register("done", schedule=once(NOON))
    world.register("busy", schedule=once(NOON))
    world.fire()
    (done,) = [run for run in world.claim() if run.task == "done"]
    world.succeed(done)
    follows(world, "off", "paused", "gone", "done", "busy", "idle", "fine")
    end(world, "paused")

    world.delete("gone")
    world.cancel("off")
    world.pause("idle")
    world.pause("paused")

    assert waits_for(world) == [
        ("done", "completed"),
        ("gone", "missing"),
        ("idle", "paused"),
        ("off", "cancelled"),
    ]


@pytest.mark.parametrize("result", ["x" * 1_048_576, "ü" * 600_000])
def test_a_merged_input_that_is_too_large_is_a_skipped_run(world: World, result: str) -> None:
    manual(world, "a")
    follows(world, "a", input={"own": 1})
    follows(world, "s", name="t")

    end(world, "a", result=result)

    (run,) = world.runs("s")
    assert (run.status, run.reason) == SKIPPED
    assert run.error is not None
    assert run.error.type == "input_too_large"
    assert json_text.loads(run.input) == {"own": 1}
    assert statuses(world, "t") == [SKIPPED]


def test_large_results_are_merged_as_small_ones_are(world: World) -> None:
    manual(world, "a", "b")
    follows(world, "a", "b")

    end(world, "a", result="x" * 100_000)
    end(world, "b", result="y" * 10)

    assert inputs(world) == [{"results": {"a": "x" * 100_000, "b": "y" * 10}}]


def test_a_result_that_is_not_kept_any_more_is_null(world: World) -> None:
    manual(world, "a", "b")
    follows(world, "a", "b")
    gone = end(world, "a", result=1)

    with world.transaction() as tx:
        tx.connection.execute(tables.run.delete().where(tables.run.c.id == gone.id))
    end(world, "b", result=2)

    assert inputs(world) == [{"results": {"a": None, "b": 2}}]


def test_a_run_of_a_successor_waits_for_its_unknown_handler(world: World) -> None:
    manual(world, "a")
    follows(world, "a", handler="other")
    world.end_lease(world.holder)
    lone = world.enlist("noop")
    with world.transaction() as tx:
        tx.connection.execute(tables.replica.delete().where(tables.replica.c.id != lone))
    claimed = world.start("a", holder=lone)

    world.end(claimed, success(claimed), holder=lone)

    (run,) = world.runs("s")
    assert (run.status, run.waiting_on) == ("blocked", ("handler",))


def test_many_that_come_after_one_fire_together(world: World) -> None:
    names = [f"s{number:03}" for number in range(2 * AT_A_TIME + 1)]
    manual(world, "a")
    definition = define(schedule=after("a"))
    world.do(RegisterAll(tuple(Register(name=name, definition=definition) for name in names)))

    end(world, "a", result=7)

    fired = (tables.run.c.trigger == "after", tables.run.c.status == "queued")
    assert world.count(tables.run, *fired) == len(names)
    assert inputs(world, names[-1]) == [{"results": {"a": 7}}]


def test_a_changed_task_keeps_the_counted_runs_of_remaining_predecessors(world: World) -> None:
    manual(world, "a", "b", "c")
    follows(world, "a", "b")
    end(world, "a", result=1)
    end(world, "b", BROKEN)

    follows(world, "a", "c", on_conflict=OnConflict.UPDATE)
    end(world, "b")
    end(world, "c", result=2)

    assert inputs(world) == [{"results": {"a": 1, "c": 2}}]


@pytest.mark.parametrize("anew", ["replace", "on", "revived"])
def test_a_restarted_task_has_counted_no_runs(world: World, anew: str) -> None:
    manual(world, "a", "b")
    follows(world, "a", "b")
    end(world, "a")
    rule = {"on": ["succeeded", "failed"]} if anew == "on" else None
    policy = OnConflict.REPLACE if anew == "replace" else OnConflict.UPDATE
    if anew == "revived":
        world.cancel("s")

    follows(world, "a", "b", rule=rule, on_conflict=policy)
    end(world, "b")

    assert world.runs("s") == []
    end(world, "a")
    assert len(world.runs("s")) == 1


def test_a_task_with_another_schedule_waits_for_no_predecessor(world: World) -> None:
    manual(world, "a")
    follows(world, "a")

    manual(world, "s", on_conflict=OnConflict.UPDATE)
    end(world, "a")

    assert (world.runs("s"), world.count(tables.predecessor)) == ([], 0)


def test_a_successor_with_an_unreadable_schedule_is_not_notified(world: World) -> None:
    manual(world, "a")
    follows(world, "a")
    with world.transaction() as tx:
        strange = update(tables.task).where(tables.task.c.name == "s")
        tx.connection.execute(
            strange.values(definition='{"handler":"noop","schedule":{"type":"?"}}')
        )

    end(world, "a")

    assert world.runs("s") == []


def test_where_no_task_comes_after_another_a_finish_asks_for_that_once(world: World) -> None:
    manual(world, "a")
    claimed = world.start("a")
    statements: list[str] = []

    def note(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        statements.extend([statement] if "predecessor" in statement else [])

    event.listen(world.database.writing, "before_cursor_execute", note)
    world.succeed(claimed)
    event.remove(world.database.writing, "before_cursor_execute", note)

    assert len(statements) == (1 if world.is_sqlite else 2)


@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_the_tasks_of_runs_are_found_by_their_ids_before_anything_is_known_of_the_table(
    world: World,
) -> None:
    world.register("t")
    others = [each.name for each in tables.task.c if each.name not in {"id", "name"}]
    copied = ", ".join(others)
    copies = f"""
        INSERT INTO task (id, name, {copied})
        SELECT gen_random_uuid(), 't' || number, {copied} FROM task, generate_series(1, 5000) AS number
    """
    statements: list[tuple[str, Any]] = []

    with world.transaction() as tx:
        tx.connection.exec_driver_sql(copies)
        ids = list(tx.connection.execute(select(tables.task.c.id).limit(64)).scalars())
        event.listen(
            tx.connection,
            "before_cursor_execute",
            lambda *given: statements.append((given[2], given[3])),
        )
        successors_of(tx, ids)
        statement, parameters = statements[-1]
        plan = tx.connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        steps = "\n".join(row[0] for row in plan)

    assert "ix_task" not in steps, steps
