"""Idempotency keys."""

from dataclasses import replace
from typing import Any

import pytest

from rota.db import tables
from rota.db.command import Command
from rota.domain.tasks.definition import OnConflict
from rota.errors import Conflict, Invalid
from rota.store.idempotency import KEPT_FOR, Once, RemoveOld, Reply
from rota.store.tasks.declaration import Registration
from rota.store.tasks.registration import Register
from tests.support.factories import MINUTE, World, define, together


def _render(made: Registration) -> Reply:
    return Reply(201, {"location": f"/{made.task.name}"}, str(made.task.id).encode())


def _once(command: Command[Any] | None = None, **fields: str) -> Once:
    register = Register(name="t", definition=define())
    defaults = {"key": "k", "principal": "ann", "fingerprint": "f"}
    return Once(command=command or register, render=_render, **defaults | fields)


def test_the_same_request_is_executed_once_and_answered_twice(world: World) -> None:
    first, replayed = world.do(_once())
    second, again = world.do(_once())

    assert (replayed, again) == (False, True)
    assert first == second
    assert first == Reply(201, {"location": "/t"}, str(world.task().id).encode())


def test_the_same_request_twice_in_one_group_is_executed_once(world: World) -> None:
    answers = [answer.result() for answer in together(world.writer, [_once(), _once()])]

    assert answers[0][0] == answers[1][0]
    assert [replayed for _, replayed in answers] == [False, True]


def test_a_key_cannot_be_used_for_another_request(world: World) -> None:
    world.do(_once())

    with pytest.raises(Invalid) as refused:
        world.do(_once(fingerprint="other"))

    assert refused.value.slug == "idempotency-key-reused"


def test_keys_of_others_are_others(world: World) -> None:
    world.do(_once())

    with pytest.raises(Conflict):  # of the name, not of the key
        world.do(_once(principal="bob"))


def test_a_request_that_failed_is_not_kept(world: World) -> None:
    world.register()
    refused = _once()
    with pytest.raises(Conflict):
        world.do(refused)
    kept = world.count(tables.idempotency)

    update = replace(
        refused,
        command=Register(name="t", definition=define(), on_conflict=OnConflict.UPDATE),
    )

    assert kept == 0
    assert world.do(update)[1] is False


def test_a_key_is_kept_for_a_day(world: World) -> None:
    update = Register(name="t", definition=define(), on_conflict=OnConflict.UPDATE)
    world.do(_once(update))
    world.clock.advance(KEPT_FOR - MINUTE)
    before = world.do(_once(update))[1]
    world.clock.advance(MINUTE)
    after = world.do(_once(update, fingerprint="other"))[1]

    assert (before, after) == (True, False)


def test_old_keys_are_removed_in_bounded_steps(world: World) -> None:
    for number in range(3):
        world.register(f"t{number}")
        update = Register(name="t0", definition=define(), on_conflict=OnConflict.UPDATE)
        world.do(_once(update, key=f"k{number}"))
    world.clock.advance(KEPT_FOR)
    world.do(_once(key="new"))

    assert [world.do(RemoveOld(2)) for _ in range(3)] == [2, 1, 0]
    assert world.count(tables.idempotency) == 1
