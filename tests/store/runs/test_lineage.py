"""Lineage: links between runs, chains, and the graph around a run."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from rota.db.tables import run_link
from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.primitives.ids import Id, random_id
from rota.domain.runs.lineage import LinkKind
from rota.domain.runs.model import Run
from rota.domain.tasks.registration import read_registration
from rota.store.counting import Counted
from rota.store.runs.graph import graph_of, neighbours
from rota.store.runs.listing.filters import RunFilter
from rota.store.runs.listing.narrowing import FEW
from rota.store.runs.reading import count_runs, find_run_with_links, list_runs
from rota.store.tasks.retention import RemoveRuns
from rota.store.tasks.run_commands import Rerun
from tests.support.factories import BROKEN, HOUR, MINUTE, NOON, World, success

MANUAL: dict[str, Any] = {
    "schedule": {"type": "manual"},
    "overlap_policy": "allow",
    "retry": {"max_attempts": 1},
}


def follows(world: World, name: str, *tasks: str, **fields: Any) -> None:
    schedule = {"type": "after", "tasks": list(tasks)}
    world.register(name, **MANUAL | {"schedule": schedule} | fields)


def end(world: World, name: str) -> Run:
    claimed = world.start(name)
    world.succeed(claimed)
    return world.run(claimed.id)


def end_all(world: World) -> None:
    """Run what is claimable to its end, and what follows from it."""
    while claimed := world.claim():
        for each in claimed:
            world.succeed(each)


def links(world: World) -> set[tuple[Id, Id, str]]:
    return {
        tuple(row)
        for row in world.read(lambda connection: connection.execute(select(run_link)).all())
    }


def test_a_run_of_its_own_writes_nothing_and_is_a_chain_of_its_own(world: World) -> None:
    world.register(**MANUAL)
    run = end(world, "t")

    assert (run.chain_id, run.chain) == (None, run.id)
    assert links(world) == set()
    assert world.read(find_run_with_links, run.id) == (run, False)


def test_a_chain_has_one_id_and_each_run_is_linked_to_the_one_before(world: World) -> None:
    world.register("a", **MANUAL)
    follows(world, "b", "a")
    follows(world, "c", "b")
    first = end(world, "a")
    end_all(world)
    (second,), (third,) = world.runs("b"), world.runs("c")

    assert [run.chain_id for run in (second, third)] == [first.id, first.id]
    assert links(world) == {
        (second.id, first.id, LinkKind.AFTER),
        (third.id, second.id, LinkKind.AFTER),
    }
    around = world.read(neighbours, second.id, UNLIMITED)
    assert [(each.id, each.task) for each in around.fed_by] == [(first.id, "a")]
    assert [(each.id, each.task) for each in around.fed] == [(third.id, "c")]
    listed = world.read(list_runs, RunFilter(chain_id=(first.id,)), None, 9)
    assert {run.id for run in listed} == {first.id, second.id, third.id}
    assert world.read(list_runs, RunFilter(chain_id=(second.id,)), None, 9) == []


def test_a_join_continues_the_chain_of_the_run_that_it_waited_for(world: World) -> None:
    for name in "ab":
        world.register(name, **MANUAL)
    follows(world, "s", "a", "b")
    first, second = end(world, "a"), end(world, "b")
    (joined,) = world.runs("s")

    assert joined.chain_id == second.id
    fed_by = world.read(neighbours, joined.id, UNLIMITED).fed_by
    assert {each.id for each in fed_by} == {first.id, second.id}


def test_a_skipped_successor_names_the_run_that_broke_the_join(world: World) -> None:
    world.register("a", **MANUAL)
    follows(world, "s", "a")
    broken = world.start("a")
    world.end(broken, BROKEN)
    (skipped,) = world.runs("s")

    assert skipped.chain_id == broken.id
    assert links(world) == {(skipped.id, broken.id, LinkKind.AFTER)}


def test_a_rerun_and_a_notification_continue_the_chain(world: World) -> None:
    world.register("ops", **MANUAL)
    world.register("a", **MANUAL, on_failure={"task": "ops"})
    failed = world.start("a")
    world.end(failed, BROKEN)
    (told,) = world.runs("ops")
    again = world.do(Rerun(failed.id))
    twice = _rerun_of(world, again)

    assert {run.chain_id for run in (told, again, twice)} == {failed.id}
    (recovered,) = (run for run in world.runs("ops") if run.id != told.id)
    assert links(world) == {
        (told.id, failed.id, LinkKind.NOTIFICATION),
        (again.id, failed.id, LinkKind.RERUN),
        (recovered.id, again.id, LinkKind.NOTIFICATION),
        (twice.id, again.id, LinkKind.RERUN),
    }


def _rerun_of(world: World, run: Run) -> Run:
    end_all(world)
    return world.do(Rerun(run.id))


def test_the_first_run_of_a_task_that_a_run_registered_continues_its_chain(world: World) -> None:
    world.register("a", **MANUAL)
    registering = world.start("a")
    made = read_registration(
        {"name": "b", "handler": "noop", "schedule": {"type": "interval", "every": 60}}
    )
    outcome = replace(success(registering, "null"), registrations=(made,))
    world.end(registering, outcome)
    for _ in range(2):
        world.clock.advance(MINUTE)
        world.fire()
    first, second = world.runs("b")

    assert (first.chain_id, second.chain_id) == (registering.id, None)
    assert links(world) == {(first.id, registering.id, LinkKind.REGISTRATION)}


def test_the_graph_reaches_every_run_and_stops_where_the_client_may_not_see(world: World) -> None:
    world.register("a", **MANUAL)
    follows(world, "hidden", "a")
    follows(world, "a2", "a")
    follows(world, "a3", "hidden")
    follows(world, "a4", "a2", "a3")
    first = end(world, "a")
    end_all(world)
    (last,) = world.runs("a4")

    whole = world.read(graph_of, last.id, UNLIMITED)
    seen = world.read(graph_of, first.id, NameLimit(("a",)))
    some = world.read(graph_of, first.id, UNLIMITED, 2)

    assert {run.task for run in whole.runs} == {"a", "a2", "a3", "a4", "hidden"}
    assert (len(whole.links), whole.is_complete) == (5, True)
    assert {run.task for run in seen.runs} == {"a", "a2", "a3", "a4"}
    assert len(seen.links) == 3
    assert (len(some.runs), some.is_complete) == (2, False)
    around = world.read(neighbours, first.id, NameLimit(("a",)))
    assert [each.task for each in around.fed] == ["a2"]


def test_links_go_with_the_run_that_followed_and_an_earlier_run_may_go_before(world: World) -> None:
    world.register("a", **MANUAL)
    follows(world, "b", "a")
    follows(world, "c", "b")
    first = end(world, "a")
    end_all(world)
    (second,), (third,) = world.runs("b"), world.runs("c")

    world.do(RemoveRuns((first.id,)))
    assert world.read(neighbours, second.id, UNLIMITED).fed_by == ()
    assert [run.id for run in world.read(graph_of, third.id, UNLIMITED).runs] == [
        second.id,
        third.id,
    ]
    world.do(RemoveRuns((second.id, third.id)))
    assert links(world) == set()


def test_a_run_does_not_follow_from_itself(world: World) -> None:
    world.register(**MANUAL)
    run = end(world, "t")
    row = {"fed_id": run.id, "feeding_id": run.id, "kind": "after"}

    with pytest.raises(IntegrityError, match="of_two_runs"), world.transaction() as tx:
        tx.connection.execute(run_link.insert(), row)


# --- lists of many runs
def test_whether_few_or_many_are_left_a_list_is_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        tags = ["all", *(["odd"] if number % 2 else []), *(["rare"] if number == 5 else [])]
        world.register(f"t{number}", **MANUAL, tags=tags)
        world.clock.advance(HOUR)
        end(world, f"t{number}")
    world.run_now("t1")
    wanted = [
        RunFilter(tag=("odd",)),
        RunFilter(tag=("odd", "rare"), status=("succeeded",)),
        RunFilter(all_tags=("all", "rare")),
        RunFilter(limit=NameLimit(("t1", "t2"))),
        RunFilter(status=("queued", "running")),
        RunFilter(finished_from=NOON + HOUR, finished_to=NOON + 3 * HOUR),
        RunFilter(tag=("none",)),
    ]
    few = [world.read(list_runs, each, None, 9) for each in wanted]
    monkeypatch.setattr("rota.store.runs.listing.narrowing.FEW", 0)
    many = [world.read(list_runs, each, None, 9) for each in wanted]

    assert FEW > 0
    assert few == many
    assert [len(runs) for runs in few] == [4, 3, 1, 3, 1, 3, 0]
    assert [world.read(count_runs, each) for each in wanted] == [
        Counted(len(runs), is_exact=True) for runs in few
    ]


def test_runs_that_ended_long_after_their_fire_times_are_on_the_last_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.store.runs.listing.narrowing.FEW", 0)
    world.register(**MANUAL)
    for hours in (-2, -1, 0):
        world.run_now(scheduled_for=NOON + hours * HOUR)
    end_all(world)
    world.clock.advance(HOUR)
    end(world, "t")
    wanted = RunFilter(finished_from=NOON)

    pages, after = [], None
    while page := world.read(list_runs, wanted, after, 1):
        pages.append(page[0].scheduled_for)
        after = (page[-1].scheduled_for, page[-1].id)

    assert pages == [NOON + HOUR, NOON, NOON - HOUR, NOON - 2 * HOUR]
    whole = world.read(list_runs, wanted, None, 9)
    assert [run.scheduled_for for run in whole] == pages


def test_a_run_that_was_cancelled_before_its_fire_time_is_found_by_when_it_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.store.runs.listing.narrowing.FEW", 0)
    world.register(**MANUAL)
    early = world.run_now(scheduled_for=NOON + 9 * HOUR)
    world.cancel()

    found = world.read(list_runs, RunFilter(finished_to=NOON + HOUR), None, 9)

    assert [run.id for run in found] == [early.id]
    assert world.read(list_runs, RunFilter(chain_id=(random_id(),)), None, 9) == []
