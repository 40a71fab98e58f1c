"""Secret headers of targets at rest: encrypted if there is a key, opened for the run that sends them."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from rota.db import tables
from rota.domain.primitives.texts.sealed import SealedText
from rota.domain.tasks.definition import OnConflict, Registered
from rota.engine.key_rotation import KeyRotation
from rota.errors import Conflict
from rota.store.handlers import Announce, HandlerInfo
from rota.store.sealing.header_rotation import ResealHeaders, header_keys
from rota.store.task_rows import find_task
from rota.store.tasks.registration import Register
from tests.store.sealing.conftest import NEW, OLD, Open
from tests.support.factories import World, define

SECRET = "Bearer hunter2-and-more"
URL = "https://app.example.com/jobs"
HTTP = HandlerInfo(name="http", description="", input_schema=None, timeout=None, isolation="async")
HANDLERS = ("http", "noop")


@pytest.fixture
def opened(opened: Open) -> Open:
    """Open the same database with these keys, one world after the other, as a replica with the handlers."""

    def open_with(keys: dict[str, bytes]) -> World:
        world = opened(keys)
        world.do(Announce((HTTP,)))
        world.holder = world.enlist(*HANDLERS)
        return world

    return open_with


def target(url: str = URL, **headers: str) -> dict[str, Any]:
    given = {"X-Plain": "seen", "Authorization": SECRET} | headers
    return {"url": url, "headers": given}


def register(world: World, **fields: Any) -> Any:
    definition = define(
        **{"handler": "http", "target": target(), "overlap_policy": "allow"} | fields
    )
    command = Register(
        name="t", definition=definition, on_conflict=OnConflict.UPDATE, declared=True
    )
    return world.do(command)


def stored(world: World) -> str:
    """Return the text of the task's definition."""
    with world.database.read() as connection:
        text: str = connection.execute(select(tables.task.c.definition)).scalar_one()
    return text


def change(world: World, old: str, new: str) -> None:
    """An attack on the row."""
    text = stored(world)
    assert old in text
    with world.transaction() as tx:
        tx.connection.execute(update(tables.task).values(definition=text.replace(old, new)))


def sent(world: World) -> dict[str, str]:
    """Return the headers that the next run is given."""
    world.run_now()
    [claimed] = world.claim(handlers=HANDLERS)
    assert claimed.definition.target is not None
    return claimed.definition.target.headers


def test_a_secret_header_is_sealed_in_the_row_and_plain_for_its_run(opened: Open) -> None:
    world = opened(OLD)

    register(world)

    assert SECRET not in stored(world)
    headers = json.loads(stored(world))["target"]["headers"]
    assert headers["X-Plain"] == "seen"
    assert list(headers["Authorization"]) == ["sealed"]
    assert headers["Authorization"]["sealed"].startswith("k1:")
    assert sent(world) == target()["headers"]
    assert not any(isinstance(each, SealedText) for each in sent(world).values())


@pytest.mark.parametrize(
    "name", ["X-Auth", "X-Signature", "X-Pass", "Cookie", "X-Api-Key", "x-session-id"]
)
def test_every_header_that_looks_secret_is_sealed(opened: Open, name: str) -> None:
    world = opened(OLD)

    register(world, target=target(**{name: "hidden-one"}))

    assert "hidden-one" not in stored(world)
    assert sent(world)[name] == "hidden-one"


def test_a_header_that_reads_like_a_sealed_one_is_sent_as_it_is(opened: Open) -> None:
    world = opened(OLD)
    text = "sealed:k1:AAAA"

    register(world, target=target(**{"X-Plain": text, "X-Token": text}))

    assert sent(world) == target(**{"X-Plain": text, "X-Token": text})["headers"]


def test_the_same_registration_changes_nothing_and_another_secret_is_a_change(
    opened: Open,
) -> None:
    world = opened(OLD)
    register(world)
    before = stored(world)

    same = register(world)
    assert (same.outcome, stored(world)) == (Registered.UNCHANGED, before)

    changed = register(world, target=target(Authorization="Bearer other"))
    assert (changed.outcome, changed.task.generation) == (Registered.UPDATED, 2)
    assert sent(world)["Authorization"] == "Bearer other"


def test_the_same_registration_changes_nothing_before_and_after_there_is_a_key(
    opened: Open,
) -> None:
    register(opened({}))

    world = opened(OLD)
    before = register(world).outcome
    KeyRotation(world.database, world.do).go_round()

    assert (before, register(world).outcome) == (Registered.UNCHANGED, Registered.UNCHANGED)
    assert SECRET not in stored(world)


def test_another_server_gets_a_secret_only_if_it_is_given_for_it(opened: Open) -> None:
    world = opened(OLD)
    register(world)
    elsewhere = URL.replace("app.", "other.")

    assert register(world, target=target(elsewhere)).outcome is Registered.UPDATED
    assert sent(world)["Authorization"] == SECRET


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("app.example.com", "evil.example.com"),
        ("https://", "http://"),
        ("Authorization", "X-Token"),
    ],
)
def test_a_secret_is_not_sent_elsewhere_by_changing_the_row(
    opened: Open, old: str, new: str
) -> None:
    world = opened(OLD)
    register(world)

    change(world, old, new)

    assert SECRET not in sent(world).values()


def test_a_secret_of_one_task_does_not_open_in_another(opened: Open) -> None:
    world = opened(OLD)
    register(world)
    text = stored(world)
    world.register("other", handler="http", target={"url": URL})

    with world.transaction() as tx:
        other = update(tables.task).where(tables.task.c.name == "other")
        tx.connection.execute(other.values(definition=text))

    world.run_now("other")
    [claimed] = world.claim(handlers=HANDLERS)
    assert claimed.definition.target is not None
    assert SECRET not in claimed.definition.target.headers.values()


def test_what_was_read_of_a_task_is_refused_for_the_next_one_of_its_name(opened: Open) -> None:
    world = opened(OLD)
    register(world)
    read = world.read(find_task, "t").definition
    world.delete()

    with pytest.raises(Conflict, match="changed concurrently"):
        world.do(Register(name="t", definition=read))
    world.register("t", handler="http", target={"url": URL})
    with pytest.raises(Conflict, match="changed concurrently"):
        world.do(Register(name="t", definition=read, on_conflict=OnConflict.UPDATE))


def test_what_was_read_and_has_been_sealed_anew_since_is_taken(opened: Open) -> None:
    world = opened(OLD)
    register(world)
    read = world.read(find_task, "t").definition
    world = opened(NEW | OLD)
    KeyRotation(world.database, world.do).go_round()

    world.do(Register(name="t", definition=read, on_conflict=OnConflict.UPDATE))

    assert sent(world)["Authorization"] == SECRET


def test_a_header_that_does_not_open_is_kept_or_replaced(opened: Open) -> None:
    register(opened(OLD))
    world = opened(NEW)
    read = world.read(find_task, "t").definition

    kept = world.do(
        Register(
            name="t",
            definition=read.model_copy(update={"description": "d"}),
            on_conflict=OnConflict.UPDATE,
        )
    )
    assert kept.outcome is Registered.UPDATED
    assert '"k1:' in stored(world)
    assert SECRET not in sent(world).values()

    register(world)
    assert '"k2:' in stored(world)
    assert sent(world)["Authorization"] == SECRET


def test_a_walk_seals_what_is_plain_and_what_an_earlier_key_has_sealed(opened: Open) -> None:
    world = opened({})
    register(world)
    world = opened(OLD)
    sealed = [KeyRotation(world.database, world.do).go_round() for _ in range(2)]
    first = world.read(header_keys)
    world = opened(NEW | OLD)

    sealed += [KeyRotation(world.database, world.do).go_round() for _ in range(2)]

    assert sealed == [1, 0, 1, 0]
    assert (first, world.read(header_keys)) == ({"k1"}, {"k2"})
    world = opened(NEW)
    assert sent(world) == target()["headers"]
    assert world.read(find_task, "t").generation == 1


def test_a_walk_keeps_what_it_cannot_read_of_a_definition(opened: Open) -> None:
    world = opened({})
    task = register(world).task
    change(world, '"type":"interval"', '"type":"of a later version"')
    before = json.loads(stored(world))
    world = opened(OLD)

    assert world.do(ResealHeaders((task.id,))) == 1

    after = json.loads(stored(world))
    assert after["schedule"] == before["schedule"]
    assert after["target"]["headers"].pop("Authorization") != SECRET
    del before["target"]["headers"]["Authorization"]
    assert after == before


@pytest.mark.parametrize("broken", ["k1:!", "k1:", "", "k1:AAAA"])
def test_a_header_that_was_damaged_holds_up_no_other_run(opened: Open, broken: str) -> None:
    world = opened(OLD)
    register(world)
    sealed = json.loads(stored(world))["target"]["headers"]["Authorization"]["sealed"]
    change(world, sealed, broken)
    world.register("other")
    world.run_now("other")
    world.run_now()

    claimed = {each.task: each for each in world.claim(handlers=HANDLERS)}

    assert set(claimed) == {"t", "other"}
    shown = claimed["t"].definition.target
    assert shown is not None
    assert shown.has_sealed_headers
    assert KeyRotation(world.database, world.do).go_round() == 0


def test_a_damaged_secret_input_holds_up_no_other_run(opened: Open) -> None:
    world = opened(OLD)
    world.register(secret_input=True, input={"token": SECRET})
    world.register("other")
    with world.transaction() as tx:
        broken = update(tables.task).where(tables.task.c.name == "t")
        tx.connection.execute(broken.values(input="sealed:k1:A"))
    world.run_now()
    world.run_now("other")
    world.clock.advance(timedelta(seconds=1))

    assert {each.task for each in world.claim(handlers=HANDLERS)} == {"t", "other"}
