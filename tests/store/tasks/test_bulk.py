"""Bulk: one verb for many tasks, a few per write; what one task refuses does not touch the others."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import pytest
from sqlalchemy import event

from rota.db import tables
from rota.domain.access.names import NameLimit
from rota.domain.effects import CancelRequested, RunEnded
from rota.domain.policies import CatchUp
from rota.domain.runs.plan import DueTask, Plan
from rota.domain.runs.planning import plan
from rota.domain.runs.status import RunStatus
from rota.domain.tasks.definition import OnConflict, TaskStatus
from rota.store.scheduling.fire import OvertakenError
from rota.store.task_rows import TaskFilter, list_tasks
from rota.store.tasks import bulk_verbs
from rota.store.tasks.bulk import Ahead, Batch, DoEach, select_ahead, selected
from rota.store.tasks.bulk_runs import RunEach
from rota.store.tasks.bulk_verbs import (
    PLANS_FOR,
    TASKS_TOGETHER,
    ResumeEach,
    Verb,
    cancel_each,
    delete_each,
    pause_each,
)
from rota.store.tasks.registration import Register, RegisterAll
from tests.support.factories import HOUR, MINUTE, World, define, set_entry, together

ANY = TaskFilter()
MANUAL: dict[str, Any] = {"schedule": {"type": "manual"}}


def resume_each(catch_up: CatchUp = "none", seconds_each: float = 0) -> ResumeEach:
    """Return the verb, with a clock that advances by so many seconds at each reading."""
    looks = count()
    return ResumeEach("me", catch_up, monotonic=lambda: next(looks) * seconds_each)


def each(world: World, verb: Verb, wanted: TaskFilter = ANY, **fields: Any) -> Batch:
    return world.do(DoEach(verb=verb, wanted=wanted, **fields))


def names(world: World, wanted: TaskFilter, after: str = "", limit: int = 99) -> list[str]:
    return [each.name for each in world.read(selected, wanted, after, limit)]


def statuses(world: World) -> dict[str, str]:
    tasks = world.read(list_tasks, TaskFilter(), "", 10_000)
    return {task.name: task.status for task in tasks}


@pytest.fixture
def four(world: World) -> World:
    """A world with a task of every status."""
    for name in ("active", "paused", "cancelled"):
        world.register(name, tags=["x", name[0]])
    world.register("completed", schedule={"type": "once", "delay": 0}, tags=["y"])
    world.pause("paused", "why")
    world.cancel("cancelled")
    world.fire()
    for claimed in world.claim():
        world.succeed(claimed)
    assert statuses(world) == {status: status for status in sorted(TaskStatus)}
    return world


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (TaskFilter(), ["active", "cancelled", "completed", "paused"]),
        (TaskFilter(status=("active", "paused")), ["active", "paused"]),
        (TaskFilter(tag=("x",)), ["active", "cancelled", "paused"]),
        (TaskFilter(tag=("a", "p")), ["active", "paused"]),
        (TaskFilter(tag=("x", "y"), status=("completed",)), ["completed"]),
        (TaskFilter(name_prefix="c"), ["cancelled", "completed"]),
        (TaskFilter(name_prefix="c", tag=("x",)), ["cancelled"]),
        (TaskFilter(name_prefix="zz"), []),
    ],
)
def test_values_are_ored_and_fields_anded(
    four: World, wanted: TaskFilter, found: list[str]
) -> None:
    assert names(four, wanted) == found
    assert names(four, wanted, limit=1) == found[:1]
    assert names(four, wanted, after="b") == [name for name in found if name > "b"]


def test_deleted_tasks_are_not_selected(four: World) -> None:
    four.delete("active")

    assert "active" not in names(four, ANY)


@pytest.mark.parametrize(
    ("verb", "changed", "refused", "then"),
    [
        (
            pause_each("me", "moving"),
            1,
            {"cancelled", "completed"},
            {"active": "paused", "paused": "paused"},
        ),
        (resume_each(), 1, {"cancelled", "completed"}, {"paused": "active", "active": "active"}),
        (cancel_each("me"), 2, {"completed"}, {"active": "cancelled", "paused": "cancelled"}),
        (RunEach(), 3, {"cancelled"}, {}),
        (delete_each(), 4, set(), dict.fromkeys(["active", "paused", "cancelled"])),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "leaves") else "",
)
def test_each_verb_does_the_same_as_for_one_task(
    four: World, verb: Verb, changed: int, refused: set[str], then: dict[str, str | None]
) -> None:
    done = each(four, verb)

    assert (done.matched, done.changed, done.last) == (4, changed, None)
    assert {refusal.task for refusal in done.refused} == refused
    assert {refusal.slug for refusal in done.refused} <= {"wrong-status"}
    after = statuses(four)
    assert {name: after.get(name) for name in then} == then
    if isinstance(verb, RunEach):
        assert four.count(tables.run, tables.run.c.trigger == "manual") == 3


def test_a_task_that_is_so_already_stays_as_it_was(four: World) -> None:
    before = four.task("paused")

    each(four, pause_each("another client", "another reason"))

    assert four.task("paused") == before
    assert four.task("active").status_reason == "another reason"
    assert four.task("active").status_changed_by == "another client"


def test_a_batch_ends_after_its_limit_and_the_next_continues_from_there(four: World) -> None:
    first = each(four, cancel_each("me"), limit=2)
    second = each(four, cancel_each("me"), after=first.last or "", limit=2)
    third = each(four, cancel_each("me"), after=second.last or "", limit=2)

    assert (first.matched, first.last) == (2, "cancelled")
    assert (second.matched, second.last) == (2, "paused")
    assert third == Batch(matched=0, changed=0)


def test_what_was_selected_before_is_checked_again_in_the_write(world: World) -> None:
    for name in ("a", "b", "c", "d", "e"):
        world.register(name, tags=["x"])
    wanted = TaskFilter(tag=("x",), status=("active",))
    ahead = world.read(select_ahead, wanted, "", 99)
    world.registration("a", tags=["y"], on_conflict=OnConflict.UPDATE)
    world.pause("b", "by hand")
    world.delete("d")
    world.register("d", tags=["x"])

    first = each(world, pause_each("me"), wanted, ahead=ahead, limit=3)
    second = each(world, pause_each("me"), wanted, after=first.last, ahead=first.ahead, limit=3)

    assert [(done.matched, done.changed, done.last) for done in (first, second)] == [
        (1, 1, "c"),
        (1, 1, None),
    ]
    found = {"a": "active", "b": "paused", "c": "paused", "d": "active", "e": "paused"}
    assert statuses(world) == found
    assert world.task("b").status_reason == "by hand"


@pytest.mark.parametrize("most", [1, 2, 3, 6, 7])
def test_a_bulk_continues_behind_what_was_selected_and_dealt_with(
    world: World, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """A write takes the runs of two tasks, and some number of tasks is selected before."""
    monkeypatch.setattr(bulk_verbs, "RUNS_TOGETHER", 2)
    names = [f"t{number}" for number in range(6)]
    for name in names:
        world.register(name, **MANUAL)
        world.run_now(name)

    last: str | None = ""
    ahead, done = Ahead(), list[Batch]()
    while last is not None:
        if not ahead.tasks:
            ahead = world.read(select_ahead, ANY, last, most)
        done.append(each(world, cancel_each("me"), after=last, ahead=ahead))
        last, ahead = done[-1].last, done[-1].ahead

    assert sum(batch.changed for batch in done) == 6
    assert max(batch.matched for batch in done) <= 2
    assert set(statuses(world).values()) == {"cancelled"}


def test_a_refused_task_leaves_nothing_behind(world: World) -> None:
    """Of two tasks that skip on overlap, one is busy."""
    world.register("busy", **MANUAL)
    world.register("free", **MANUAL)
    busy = world.run_now("busy")
    world.effects.clear()

    done = each(world, RunEach())

    assert (done.matched, done.changed) == (2, 1)
    assert [(each.task, each.slug) for each in done.refused] == [("busy", "overlap")]
    assert [run.id for run in world.runs("busy")] == [busy.id]
    assert len(world.runs("free")) == 1


def test_a_dry_run_answers_the_same_and_does_nothing(four: World) -> None:
    four.run_now("active")
    started = four.claim()[0]
    before = statuses(four)
    four.effects.clear()

    dry = each(four, cancel_each("me"), dry_run=True)
    for verb in (pause_each("me"), resume_each(), RunEach(), delete_each(), cancel_each("me")):
        each(four, verb, dry_run=True)

        assert four.effects == []
        assert statuses(four) == before
        assert four.run(started.id).cancel_requested_at is None
    assert each(four, cancel_each("me")) == dry
    assert CancelRequested(started.id) in four.effects


def test_runs_that_a_bulk_ends_are_reported(world: World) -> None:
    world.register("t", **MANUAL)
    waiting = world.run_now()
    world.effects.clear()

    each(world, cancel_each("me"))

    assert world.run(waiting.id).status is RunStatus.CANCELLED
    ended = [effect for effect in world.effects if isinstance(effect, RunEnded)]
    assert [effect.run_id for effect in ended] == [waiting.id]


def test_others_write_while_a_bulk_over_thousands_of_tasks_is_under_way(world: World) -> None:
    """A concurrent write waits for one write of the bulk, not for all: the order of the commits shows it."""
    # Four of five are paused already, and there are fewer on PostgreSQL, for time.
    number_of_tasks = 3_000 if world.is_sqlite else 600
    tasks = [
        Register(name=f"t{number:04}", definition=define(**MANUAL), paused=number % 5 > 0)
        for number in range(number_of_tasks)
    ]
    world.do(RegisterAll(tuple(tasks)))
    world.register("other", **MANUAL)
    paused_then: list[int] = []
    matched, last = 0, ""

    while last is not None:
        bulk = DoEach(verb=pause_each("me"), wanted=TaskFilter(name_prefix="t"), after=last)
        beside = set_entry("other", "k", b"1")
        done, set_beside = (answer.result() for answer in together(world.writer, [bulk, beside]))
        assert set_beside.entries[0].version == len(paused_then) + 1
        matched, last = matched + done.matched, done.last
        paused_then.append(world.count(tables.task, tables.task.c.status == "paused"))

    per_write = TASKS_TOGETHER // 5
    before = number_of_tasks * 4 // 5
    assert matched == paused_then[-1] == number_of_tasks
    assert paused_then[:2] == [before + per_write * number for number in (1, 2)]
    assert len(paused_then) >= number_of_tasks / TASKS_TOGETHER


@pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)
def test_bulks_and_firing_on_two_replicas_do_not_deadlock(
    migrated_database_url: str,
) -> None:
    one, other = World(migrated_database_url), World(migrated_database_url)
    try:
        for number in range(20):  # by name they come in another order than by id
            one.register(f"t{20 - number:02}")

        def turn(world: World) -> int:
            done = 0
            for number in range(10):
                world.clock.advance(MINUTE)
                verb: Verb = pause_each("me") if number % 2 else resume_each()
                done += each(world, verb).matched
                with suppress(OvertakenError):
                    world.fire()
            return done

        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(turn, (one, other))) == [200, 200]
        assert each(one, pause_each("me")).matched == 20
        assert set(statuses(one).values()) == {"paused"}
    finally:
        one.close()
        other.close()


# --- many at once
def carry_through(world: World, verb: Verb, **fields: Any) -> list[Batch]:
    """Do a verb to every task whose name begins with t, and return what each write did."""
    done: list[Batch] = []
    last: str | None = ""
    while last is not None:
        done.append(each(world, verb, TaskFilter(name_prefix="t"), after=last, **fields))
        last = done[-1].last
    return done


@contextmanager
def statements(world: World) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(*given: Any) -> None:
        seen.append(given[2])

    event.listen(world.database.writing, "before_cursor_execute", note)
    yield seen
    event.remove(world.database.writing, "before_cursor_execute", note)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    "verb",
    [pause_each("me"), resume_each("once"), RunEach(), cancel_each("me"), delete_each()],
    ids=lambda verb: type(verb).__name__,
)
def test_hundreds_of_tasks_take_a_few_statements(world: World, verb: Verb, dry_run: bool) -> None:
    number = 2 * TASKS_TOGETHER
    names = [f"t{each:04}" for each in range(number)]
    paused = isinstance(verb, ResumeEach)
    world.do(
        RegisterAll(
            tuple(
                Register(name=name, definition=define(overlap_policy="allow"), paused=paused)
                for name in names
            )
        )
    )
    world.do(DoEach(verb=RunEach(), wanted=ANY, limit=20))
    world.clock.advance(MINUTE)

    with statements(world) as executed:
        done = carry_through(world, verb, dry_run=dry_run)

    assert sum(batch.changed for batch in done) == number
    # Time decides how many writes a resume takes; each has its few.
    assert paused or len(done) == 3
    assert len(executed) <= 30 * len(done)
    assert paused or len(executed) < number / 5


def test_a_write_of_a_bulk_changes_only_so_many_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_verbs, "RUNS_TOGETHER", 5)
    for name, runs in (("t1", 2), ("t2", 3), ("t3", 4), ("t4", 9), ("t5", 1), ("t6", 0)):
        world.register(name, **MANUAL, overlap_policy="allow")
        for _ in range(runs):
            world.run_now(name)

    done = carry_through(world, cancel_each("me"))

    assert [batch.matched for batch in done] == [2, 1, 1, 2]
    assert [batch.last for batch in done] == ["t2", "t3", "t4", None]
    assert world.count(tables.run, tables.run.c.finished_at.is_(None)) == 0


@pytest.mark.parametrize(("most", "seconds_each"), [(3, 0.0), (1_000, 2 * PLANS_FOR)])
def test_a_write_of_a_bulk_resume_plans_only_so_much(
    world: World, monkeypatch: pytest.MonkeyPatch, most: int, seconds_each: float
) -> None:
    names = [f"t{number}" for number in range(4)]
    for name in names:
        world.register(name, overlap_policy="allow")
        world.pause(name)
    world.clock.advance(4 * MINUTE)
    monkeypatch.setattr(bulk_verbs, "RUNS_TOGETHER", most)

    done = carry_through(world, resume_each("all", seconds_each))

    assert [batch.matched for batch in done] == [1, 1, 1, 1]
    assert [batch.last for batch in done] == ["t0", "t1", "t2", None]
    assert [len(world.runs(name)) for name in names] == [4] * 4
    assert set(statuses(world).values()) == {"active"}


def test_the_lines_of_tasks_that_are_resumed_together_are_as_they_were(world: World) -> None:
    names = ["t1", "t2", "t3"]
    for name in names:
        world.register(name, **MANUAL, overlap_policy="allow" if name == "t3" else "buffer")
        for _ in range(3):
            world.run_now(name)
    before = {name: [run.waiting_on for run in world.runs(name)] for name in names}
    each(world, pause_each("me"))
    paused = {run.waiting_on for name in names for run in world.runs(name)}

    done = each(world, resume_each())

    assert (done.changed, paused) == (3, {("paused",)})
    assert {name: [run.waiting_on for run in world.runs(name)] for name in names} == before


def test_one_that_cannot_be_planned_is_refused_and_the_others_are_resumed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(due: DueTask, *given: Any) -> Plan:
        if due.name == "t2":
            raise ValueError("no plan")
        return plan(due, *given)

    for name in ("t1", "t2", "t3"):
        world.register(name)
        world.pause(name)
    world.clock.advance(HOUR)
    monkeypatch.setattr("rota.store.tasks.transitions.plan", broken)

    dry = each(world, resume_each("once"), dry_run=True)
    done = each(world, resume_each("once"))

    assert dry == done
    assert (done.matched, done.changed) == (3, 2)
    assert [(refusal.task, refusal.slug) for refusal in done.refused] == [("t2", "unplannable")]
    assert statuses(world) == {"t1": "active", "t2": "paused", "t3": "active"}
    assert [run.status for run in world.runs("t2")] == []


def test_successors_of_tasks_that_are_cancelled_or_deleted_together_are_notified(
    world: World,
) -> None:
    for name in ("t1", "t2", "t3"):
        world.register(name, **MANUAL)
    world.register("next", schedule={"type": "after", "tasks": ["t1", "t2"]})

    each(world, cancel_each("me"), TaskFilter(name_prefix="t1"))
    each(world, delete_each(), TaskFilter(name_prefix="t"))

    reasons = [run.reason for run in world.runs("next")]
    assert reasons == ["predecessor", "predecessor"]  # of the one that was cancelled it knew


def test_a_successor_that_is_deleted_with_its_predecessor_gets_no_run(world: World) -> None:
    world.register("t1", **MANUAL)
    successor = world.register("t2", schedule={"type": "after", "tasks": ["t1"]})

    each(world, delete_each())

    assert world.count(tables.run, tables.run.c.task_id == successor.id) == 0


@pytest.mark.parametrize("prefixes", [("a-",), ("a-", "c"), ()], ids=str)
def test_only_tasks_in_the_limit_of_a_client_take_the_verb(
    world: World, prefixes: tuple[str, ...]
) -> None:
    names = ("a", "a-1", "a-2", "b-1", "c")
    for name in names:
        world.register(name)
    limit = NameLimit(prefixes)

    done = each(world, pause_each("me"), TaskFilter(limit=limit))

    wanted = {name for name in names if limit.covers(name)}
    assert (done.matched, done.changed) == (len(wanted), len(wanted))
    assert {name for name, status in statuses(world).items() if status == "paused"} == wanted


@pytest.mark.parametrize("verb", [pause_each("me", "why"), cancel_each("me"), resume_each()])
def test_the_reported_result_of_a_verb_is_the_state_of_the_task(world: World, verb: Verb) -> None:
    world.register("t", paused=isinstance(verb, ResumeEach))
    before = world.task("t")

    [change] = each(world, verb).changes

    for told, found in ((change.before, before), (change.after, world.task("t"))):
        assert told == {
            "status": found.status,
            "status_reason": found.status_reason,
            "generation": found.generation,
        }


def test_a_task_that_is_registered_under_the_name_of_a_selected_one_is_not_touched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = world.register("t")
    chosen = world.read(selected, ANY, "", 9)
    world.delete("t")
    world.register("t")
    monkeypatch.setattr("rota.store.tasks.bulk.selected", lambda *_: chosen)

    for verb in (pause_each("me"), cancel_each("me"), delete_each(), resume_each(), RunEach()):
        done = each(world, verb)
        assert (done.changed, *done.changes, *done.ran) == (0,)
    assert chosen[0].id == old.id
    assert (world.task("t").status, world.runs("t")) == ("active", [])
