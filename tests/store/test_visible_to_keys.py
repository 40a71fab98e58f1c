"""What is read for a key that is limited to some tasks: their rows only, on both databases."""

import pytest

from rota.domain.access.names import UNLIMITED, NameLimit
from rota.domain.explain.task import explain_now
from rota.domain.tasks.definition import OnConflict
from rota.errors import NotFound
from rota.store.explain.facts import facts_of_now
from rota.store.runs.listing.filters import RunFilter
from rota.store.runs.queues import (
    PutQueue,
    RemoveQueue,
    Visible,
    find_queue,
    list_queues,
)
from rota.store.runs.reading import find_run, is_final, list_runs
from rota.store.task_rows import TaskFilter, list_sizes, list_tasks
from tests.support.factories import World

A = NameLimit(("a-",))
BOTH = NameLimit(("a-", "b-"))
NONE = NameLimit(())
MANUAL = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}


@pytest.fixture
def two_teams(world: World) -> World:
    """Tasks of teams `a` and `b`, each with one queue of its own and one that they share."""
    for name, queue in (("a-1", "qa"), ("a-2", "both"), ("b-1", "qb"), ("b-2", "both")):
        world.register(name, queue=queue, tags=("billing",), **MANUAL)
    for name in ("a-2", "b-2", "b-2", "a-1", "b-1"):
        world.run_now(name)
    return world


@pytest.mark.parametrize(
    ("limit", "names"),
    [
        (A, ["a-1", "a-2"]),
        (BOTH, ["a-1", "a-2", "b-1", "b-2"]),
        (NONE, []),
        (NameLimit(("a-1",)), ["a-1"]),
        (UNLIMITED, ["a-1", "a-2", "b-1", "b-2"]),
    ],
)
def test_lists_have_only_the_tasks_of_a_limit_and_their_runs(
    two_teams: World, limit: NameLimit, names: list[str]
) -> None:
    wanted = TaskFilter(tag=("billing",), limit=limit)
    tasks = two_teams.read(list_tasks, wanted, "", 10)
    sizes = two_teams.read(list_sizes, wanted, "", 10)
    runs = two_teams.read(list_runs, RunFilter(tag=("billing",), limit=limit), None, 10)

    assert [each.name for each in tasks] == names
    assert len(sizes) == len(names)
    assert sorted({each.task for each in runs}) == names


def test_a_run_of_another_task_is_not_found(two_teams: World) -> None:
    for run in two_teams.runs("b-1"):
        for read in (find_run, is_final):
            with pytest.raises(NotFound, match=f"^There is no run {run.id}.$"):
                two_teams.read(read, run.id, A)
            assert two_teams.read(read, run.id, BOTH) == two_teams.read(read, run.id)


def test_queues_are_those_that_the_tasks_of_a_limit_use(two_teams: World) -> None:
    seen = {each.name: each.queued for each in two_teams.read(list_queues, "", 10, Visible(A))}

    assert seen == {"both": 1, "qa": 1}
    assert [each.name for each in two_teams.read(list_queues, "", 1, Visible(A))] == ["both"]
    assert [each.name for each in two_teams.read(list_queues, "both", 9, Visible(A))] == ["qa"]
    assert two_teams.read(find_queue, "both", Visible(A)).queued == 1
    assert two_teams.read(find_queue, "both").queued == 3
    assert two_teams.read(list_queues, "", 10, Visible(NONE)) == []


def test_a_queue_of_others_is_not_found_also_if_it_was_set(two_teams: World) -> None:
    two_teams.do(PutQueue(name="qb", concurrency=1, paused=False, by="me"))

    for name in ("qb", "missing"):
        with pytest.raises(NotFound, match=f"'{name}': no task names it"):
            two_teams.read(find_queue, name, Visible(A))


def test_a_queue_that_one_may_set_is_shown_once_it_is(two_teams: World) -> None:
    for name in ("a-queue", "qb"):
        two_teams.do(PutQueue(name=name, concurrency=1, paused=False, by="me"))

    by_tasks = two_teams.read(list_queues, "", 10, Visible(A))
    by_queues = two_teams.read(list_queues, "", 10, Visible(A, NameLimit(("q",))))

    assert [each.name for each in by_tasks] == ["a-queue", "both", "qa"]
    assert [each.name for each in by_queues] == ["both", "qa", "qb"]
    assert [(each.queued, each.concurrency) for each in by_queues] == [(1, None), (1, None), (0, 1)]


def test_who_sets_or_resets_a_queue_does_not_see_the_runs_of_others(two_teams: World) -> None:
    put = PutQueue(name="both", concurrency=5, paused=False, by="me", visible=Visible(A))

    queue, _ = two_teams.do(put)

    assert (queue.queued, queue.concurrency) == (1, 5)
    with pytest.raises(NotFound):
        two_teams.do(RemoveQueue("qb", Visible(A)))


def test_an_unfinished_run_keeps_a_queue_visible_that_its_task_has_left(two_teams: World) -> None:
    two_teams.register("a-1", queue="elsewhere", on_conflict=OnConflict.UPDATE, **MANUAL)

    seen = [each.name for each in two_teams.read(list_queues, "", 10, Visible(A))]

    assert seen == ["both", "elsewhere", "qa"]


def test_an_explanation_does_not_count_the_runs_before_it(two_teams: World) -> None:
    two_teams.run_now("a-2")
    two_teams.register("a-3", queue="both", **MANUAL)
    two_teams.run_now("a-3")
    task = two_teams.task("a-3")

    limited = explain_now(two_teams.read(facts_of_now, task, two_teams.now, A))
    unlimited = explain_now(two_teams.read(facts_of_now, task, two_teams.now))

    assert "4 runs come before it" in unlimited.message
    assert "other runs come before it" in limited.message
    assert limited.reason == unlimited.reason
