"""Bulk operations on runs continue without a request: write by write, in turn, after any stop, each run once."""

from collections import Counter
from typing import Any

import pytest

from rota.db.command import Transaction
from rota.domain.bulk.model import Bulk, BulkStatus, BulkVerb, ItemResult, Request
from rota.domain.bulk.selector import RunSelector
from rota.domain.effects import BulkChanged
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import Trigger
from rota.engine import bulk_runner
from rota.engine.bulk_runner import BulkRunner
from rota.store.bulk import advance, reruns
from rota.store.bulk.changes import BeginBulk
from rota.store.bulk.rows import find_bulk, list_items, results
from rota.store.bulk.selection import select_runs
from rota.store.handlers import Announce, HandlerInfo, list_handlers
from tests.support.factories import BROKEN, World


@pytest.fixture
def engine(world: World) -> BulkRunner:
    return BulkRunner(world.database, world.writer, world.clock)


def failed(world: World, number: int, name: str = "t", **fields: Any) -> list[Id]:
    own = {"schedule": {"type": "manual"}, "retry": {"max_attempts": 1}, "overlap_policy": "allow"}
    world.register(name, **own | fields)
    ids = [world.run_now(name).id for _ in range(number)]
    for claimed in world.claim():
        world.end(claimed, BROKEN)
    return ids


def begin(world: World, name: str = "t", **fields: Any) -> Bulk:
    request = Request(verb=BulkVerb.RERUN, selector=RunSelector(task=(name,)), **fields)
    selection = world.read(select_runs, request)
    return world.do(BeginBulk(request=request, selection=selection, by="me", confirmed=True))


def made(world: World, name: str = "t") -> Counter[Id | None]:
    """Return how many reruns there are of each run."""
    return Counter(each.rerun_of for each in world.runs(name) if each.trigger is Trigger.RERUN)


def test_operations_take_turns_until_all_have_ended(
    world: World, engine: BulkRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_runner, "MOST_IN_BATCH", 2)
    engine._size = 2
    ids = {name: failed(world, 5, name) for name in ("a", "b")}
    bulks = [begin(world, name) for name in ids]
    world.effects.clear()

    engine.make_pass()

    for name, found in ids.items():
        assert made(world, name) == Counter(found)
    assert all(world.read(find_bulk, each.id).status is BulkStatus.FINISHED for each in bulks)
    turns = [each.bulk_id for each in world.effects if isinstance(each, BulkChanged)]
    assert turns == [each.id for each in bulks] * 3


def test_what_a_crash_has_left_is_continued_and_no_run_is_dealt_with_twice(
    world: World, engine: BulkRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = failed(world, 4)
    bulk = begin(world)
    engine._size = 2

    def crash(_self: object, _tx: Transaction, _position: int) -> None:
        raise SystemError("the process is killed before the commit")

    world.do(advance.AdvanceBulk(read=bulk, limit=2))
    with monkeypatch.context() as patch:
        patch.setattr(advance.AdvanceBulk, "_move", crash)
        with pytest.raises(SystemError):
            world.do(advance.AdvanceBulk(read=world.read(find_bulk, bulk.id), limit=2))
    BulkRunner(world.database, world.writer, world.clock).make_pass()

    assert made(world) == Counter(ids)


def test_a_run_that_fails_the_write_is_left_out_and_the_others_are_dealt_with(
    world: World, engine: BulkRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, broken, last = failed(world, 3)
    bulk = begin(world)
    rerun = reruns.rerun

    def breaking(tx: Transaction, of: Bulk, runs: Any, *rest: Any) -> int:
        if any(each.id == broken for each in runs):
            raise RuntimeError("broken")
        return rerun(tx, of, runs, *rest)

    monkeypatch.setattr(advance, "rerun", breaking)
    engine.make_pass()

    assert made(world) == Counter([first, last])
    finished = world.read(find_bulk, bulk.id)
    assert world.read(results, finished) == {ItemResult.DONE: 2, ItemResult.REFUSED: 1}


def test_only_so_many_runs_that_it_has_made_are_unfinished_at_a_time(
    world: World, engine: BulkRunner
) -> None:
    failed(world, 5)
    begin(world, max_concurrent=2)
    for ended in (0, 1, 2, 3, 4):
        engine.make_pass()
        assert sum(made(world).values()) == min(2 + ended, 5)
        world.succeed(world.claim(1)[0])


def test_an_input_that_a_handler_does_not_accept_is_refused(
    world: World, engine: BulkRunner
) -> None:
    schema = {"type": "object", "required": ["n"]}
    picky = HandlerInfo(
        name="other", description="", input_schema=schema, timeout=None, isolation="none"
    )
    world.do(Announce((picky,)))
    failed(world, 1, handler="other", input={"n": 1})
    bulk = begin(world, input="{}")

    engine.make_pass()

    found = world.read(find_bulk, bulk.id)
    [item] = world.read(list_items, found, tuple(ItemResult), pending=True, after=-1, limit=9)
    assert item.problem == "invalid-input"
    assert "/input" in str(item.detail)


def test_an_input_is_checked_once_and_again_when_handlers_have_changed(
    world: World, engine: BulkRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mebibyte is not parsed for each write, one schema after the other."""
    checked: list[str] = []

    def faults(handler: HandlerInfo, _value: object) -> tuple[()]:
        checked.append(handler.name)
        return ()

    monkeypatch.setattr(bulk_runner, "_faults", faults)
    failed(world, 4)
    begin(world, input="{}", max_concurrent=2)
    once = sorted(each.name for each in world.read(list_handlers))
    for _ in range(2):
        engine.make_pass()
        world.succeed(world.claim(1)[0])
    assert sorted(checked) == once

    other = HandlerInfo(
        name="newer", description="", input_schema=None, timeout=None, isolation="none"
    )
    world.do(Announce((other,)))
    engine.make_pass()

    assert sorted(checked) == sorted([*once, *(each.name for each in world.read(list_handlers))])


def test_a_write_that_takes_long_is_followed_by_smaller_ones(engine: BulkRunner) -> None:
    size = engine._size
    engine._adapt(size, 2 * bulk_runner.LONGEST_WRITE)
    assert engine._size == size // 2
    engine._adapt(
        1, bulk_runner.LONGEST_WRITE
    )  # it was small already, and says nothing about larger ones
    for _ in range(10):
        engine._adapt(engine._size, 0)
    assert engine._size == bulk_runner.MOST_IN_BATCH
