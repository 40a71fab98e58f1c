"""Holds are set, changed and ended; what they have covered stays covered."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from rota.db.tables import hold, task
from rota.domain.access.names import NameLimit
from rota.domain.effects import HoldsChanged
from rota.domain.holds.model import HeldFireTimes, HoldSelector
from rota.domain.primitives.ids import NO_ID
from rota.errors import Invalid, NotFound
from rota.store.holds.changes import EndHold, SetHold
from rota.store.holds.reading import find_hold, holds_that_matter, list_holds
from rota.store.holds.rows import StoredHold
from tests.support.factories import HOUR, MINUTE, NOON, World

EVERYTHING = HoldSelector()
BILLING = HoldSelector(name_prefix="billing-")
TEAM = NameLimit(("billing-",))


def put(world: World, name: str = "freeze", **fields: Any) -> tuple[StoredHold, bool]:
    defaults: dict[str, Any] = {
        "selector": EVERYTHING,
        "fire_times": HeldFireTimes.SKIP,
        "by": "me",
    }
    return world.do(SetHold(name=name, **defaults | fields))


def end(world: World, name: str = "freeze", **fields: Any) -> StoredHold:
    return world.do(EndHold(name=name, by="me", **fields))


def spans(world: World) -> list[tuple[timedelta, timedelta | None]]:
    """Return from when until when each hold covers something, counted from NOON."""
    return [
        (each.starts_at - NOON, None if each.ends_at is None else each.ends_at - NOON)
        for each in world.read(holds_that_matter).all
    ]


def test_a_new_hold_starts_now_and_lasts_until_it_is_ended(world: World) -> None:
    made, created = put(world, reason="the database moves")

    assert created
    assert (made.hold.starts_at, made.hold.ends_at) == (NOON, None)
    assert (made.hold.reason, made.created_by, made.closed_at) == ("the database moves", "me", None)
    assert world.read(find_hold, "freeze") == made
    assert HoldsChanged() in world.effects


def test_a_hold_on_everything_is_one_insert_whatever_the_number_of_tasks(world: World) -> None:
    for number in range(3):
        world.register(f"t{number}")
    before = [world.task(f"t{number}") for number in range(3)]
    statements: list[str] = []
    engine = world.database.writing
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    put(world)

    assert [world.task(f"t{number}") for number in range(3)] == before
    assert sum(each.startswith(("INSERT INTO hold", "UPDATE task")) for each in statements) == 1
    assert world.count(task, task.c.deferred_until.is_not(None)) == 0


def test_a_hold_that_is_set_again_as_it_is_stays_untouched(world: World) -> None:
    made, _ = put(world, ends_at=NOON + 3 * HOUR)
    world.clock.advance(MINUTE)
    world.effects.clear()

    assert put(world, ends_at=NOON + 3 * HOUR) == (made, False)
    assert HoldsChanged() not in world.effects


def test_an_open_hold_takes_another_end_and_reason_and_keeps_its_start(world: World) -> None:
    put(world, ends_at=NOON + HOUR)
    world.clock.advance(MINUTE)

    changed, created = put(world, ends_at=NOON + 2 * HOUR, reason="longer", by="you")

    assert not created
    assert (changed.created_by, changed.updated_by) == ("me", "you")
    assert spans(world) == [(timedelta(), 2 * HOUR)]


@pytest.mark.parametrize("change", [{"selector": BILLING}, {"starts_at": NOON + HOUR}])
def test_what_a_hold_has_covered_stays_covered_when_it_selects_others_or_starts_later(
    world: World, change: dict[str, Any]
) -> None:
    made, _ = put(world)
    world.clock.advance(MINUTE)

    changed, created = put(world, **change)

    assert not created
    assert (changed.created_at, changed.hold.id == made.hold.id) == (NOON, False)
    assert spans(world) == [(timedelta(), MINUTE), (change.get("starts_at", NOON) - NOON, None)]
    assert [each.hold.id for each in world.read(list_holds, None, 9, lasting_after=world.now)] == [
        changed.hold.id
    ]


def test_a_hold_that_has_started_ends_now_and_keeps_its_span(world: World) -> None:
    put(world, ends_at=NOON + HOUR)
    world.clock.advance(MINUTE)

    assert end(world).hold.ends_at == NOON + HOUR
    assert spans(world) == [(timedelta(), MINUTE)]
    with pytest.raises(NotFound):
        world.read(find_hold, "freeze")
    with pytest.raises(NotFound):
        end(world)


def test_a_hold_that_has_not_started_is_removed(world: World) -> None:
    put(world, starts_at=NOON + HOUR)

    end(world)

    assert world.count(hold) == 0
    assert spans(world) == []


def test_a_hold_that_has_ended_by_itself_keeps_its_name_until_a_new_one_takes_it(
    world: World,
) -> None:
    old, _ = put(world, ends_at=NOON + MINUTE)
    world.clock.advance(2 * MINUTE)
    assert world.read(find_hold, "freeze").has_ended(world.now)

    new, created = put(world)

    assert created
    assert new.hold.id != old.hold.id
    assert spans(world) == [(timedelta(), MINUTE), (2 * MINUTE, None)]


@pytest.mark.parametrize("ends_at", [NOON - MINUTE, NOON, NOON + HOUR])
def test_a_hold_without_a_future_is_refused_with_its_place(world: World, ends_at: Any) -> None:
    with pytest.raises(Invalid) as raised:
        put(world, starts_at=NOON + HOUR if ends_at > NOON else None, ends_at=ends_at)

    assert [fault.pointer for fault in raised.value.faults] == ["/until"]


def test_a_limited_client_sees_and_changes_the_holds_of_its_tasks_only(world: World) -> None:
    put(world, "all")
    put(world, "billing", selector=BILLING)
    put(world, "team", selector=HoldSelector(limit=TEAM))

    seen = [each.hold.name for each in world.read(list_holds, None, 9, TEAM)]
    assert seen == ["billing", "team"]
    assert [each.hold.name for each in world.read(list_holds, ("billing", "~"), 1)] == ["team"]
    for refused in (
        lambda: put(world, "all", limit=TEAM, selector=HoldSelector(limit=TEAM)),
        lambda: end(world, "all", limit=TEAM),
        lambda: world.read(find_hold, "all", TEAM),
    ):
        with pytest.raises(NotFound):
            refused()


def test_holds_are_read_again_when_one_has_changed_and_only_then(world: World) -> None:
    put(world, "a")
    put(world, "b", starts_at=NOON + HOUR)
    read = world.read(holds_that_matter)
    assert world.read(holds_that_matter) is read

    end(world, "b")  # the newest one stays as it is: the number differs
    (a,) = world.read(holds_that_matter).all
    put(world, "a", reason="changed")  # in the same millisecond

    assert [each.reason for each in world.read(holds_that_matter).all] == ["changed"]
    assert (a.reason, a.id == NO_ID) == (None, False)
