"""Handlers for workers outside: declared, changed, removed, and taken over by code."""

from dataclasses import replace
from datetime import timedelta

import pytest

from rota.domain.runs.status import RunStatus
from rota.errors import Conflict, NotFound
from rota.store.declared_handlers import DeclareHandler, RemoveHandler, not_leasable
from rota.store.handlers import (
    Announce,
    HandlerInfo,
    ReconcileHandlers,
    find_handler,
    missing_handlers,
)
from rota.store.replicas import OUTSIDE, known_handlers, served_handlers
from rota.store.tasks.lifecycle import Purge
from tests.support.factories import HANDLERS, HOUR, NOON, World

RESIZE = HandlerInfo(
    name="resize",
    description="makes previews",
    input_schema={"type": "object"},
    timeout=timedelta(minutes=1),
    isolation=OUTSIDE,
)


def _known(world: World) -> set[str]:
    return set(world.read(known_handlers))


def test_a_handler_is_declared_changed_and_left_as_it_is(world: World) -> None:
    made, was_made = world.do(DeclareHandler(RESIZE))
    world.clock.advance(HOUR)
    same, same_was_made = world.do(DeclareHandler(RESIZE))
    changed, _ = world.do(DeclareHandler(replace(RESIZE, description="better ones")))

    assert (was_made, same_was_made) == (True, False)
    assert made == same == replace(RESIZE, updated_at=NOON)
    assert changed.description == "better ones"
    assert changed.updated_at == NOON + HOUR
    assert changed == world.read(find_handler, "resize")


def test_its_runs_wait_as_queued_and_no_replica_claims_them(world: World) -> None:
    world.do(DeclareHandler(RESIZE))
    world.register(handler="resize")
    made = world.run_now()

    assert world.run(made.id).status is RunStatus.QUEUED
    assert world.claim() == []
    assert _known(world) == {*HANDLERS, "resize"}
    assert set(world.read(served_handlers)) == set(HANDLERS)
    assert world.read(missing_handlers) == []
    assert world.do(ReconcileHandlers()) == 0
    assert world.run(made.id).status is RunStatus.QUEUED


def test_the_name_of_what_a_replica_serves_is_refused(world: World) -> None:
    with pytest.raises(Conflict, match="A replica serves the handler 'noop' itself"):
        world.do(DeclareHandler(replace(RESIZE, name="noop")))

    kept = world.read(find_handler, "noop")
    assert kept is not None
    assert not kept.is_outside


def test_the_name_of_code_that_has_gone_is_refused_while_tasks_name_it(world: World) -> None:
    world.do(Announce((replace(RESIZE, name="gone", isolation="none"),)))
    world.register(handler="gone")

    with pytest.raises(Conflict, match="1 task names the handler 'gone' that a replica brought"):
        world.do(DeclareHandler(replace(RESIZE, name="gone")))
    world.delete()
    while world.do(Purge(10)):
        pass
    made, was_made = world.do(DeclareHandler(replace(RESIZE, name="gone")))

    assert made.is_outside
    assert not was_made


def test_a_replica_that_brings_a_declared_handler_takes_it_over(world: World) -> None:
    world.do(DeclareHandler(RESIZE))
    world.register(handler="resize")
    made = world.run_now()

    taken = world.do(Announce((replace(RESIZE, isolation="none"),)))
    again = world.do(Announce((replace(RESIZE, isolation="none"),)))
    holder = world.enlist("resize")

    assert (taken, again) == (("resize",), ())
    assert world.read(not_leasable, ("resize",)) == {"resize"}
    assert [each.id for each in world.claim(handlers=("resize",), holder=holder)] == [made.id]


def test_a_handler_is_removed_unless_tasks_name_it(world: World) -> None:
    world.do(DeclareHandler(RESIZE))
    world.register("a", handler="resize")
    world.register("b", handler="resize")

    with pytest.raises(Conflict, match="2 tasks name the handler 'resize'"):
        world.do(RemoveHandler("resize"))
    for name in "ab":
        world.delete(name)
    # Their rows are still there.
    with pytest.raises(Conflict, match="2 tasks name the handler 'resize'"):
        world.do(RemoveHandler("resize"))
    while world.do(Purge(10)):
        pass
    world.do(RemoveHandler("resize"))

    assert world.read(find_handler, "resize") is None
    assert _known(world) == set(HANDLERS)


def test_only_a_declared_handler_can_be_removed(world: World) -> None:
    with pytest.raises(Conflict, match="'noop' was not declared"):
        world.do(RemoveHandler("noop"))
    with pytest.raises(NotFound):
        world.do(RemoveHandler("unknown"))
