"""What commits have done is written down in them, read in order without a gap, and kept for a while."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, insert, text, update

from rota.db.tables import event
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Failed
from rota.domain.stream_positions import EventPosition
from rota.errors import AppError
from rota.store.events.log import EventLog
from rota.store.events.stored import (
    AT_A_TIME,
    EventRetention,
    RemoveEvents,
    events_since,
    is_lost,
    newest,
)
from rota.store.tasks.registration import Register
from tests.support.factories import DAY, HOUR, World, define, once, set_entry, together

BEGINNING = EventPosition()
SLOW = '[{"type":"task.created","data":{"task":"slow"}}]'
on_postgres = pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)


def events_of(world: World, after: EventPosition = BEGINNING) -> list[tuple[str, dict[str, Any]]]:
    """Return (type, data) of every event behind a position."""
    found = world.read(events_since, after)
    events = [(each.type, each.data) for each in found.events]
    return events + events_of(world, found.position) if found.more else events


def kinds(world: World, after: EventPosition = BEGINNING) -> list[tuple[str, str]]:
    """Return (type, task) of every event behind a position."""
    return [(kind, data["task"]) for kind, data in events_of(world, after)]


def test_a_commit_is_one_row_for_all_of_its_effects(world: World) -> None:
    before = world.count(event)

    together(
        world.writer, [Register(name=f"t-{n}", definition=define(), by="me") for n in range(20)]
    )

    assert world.count(event) == before + 1
    assert kinds(world) == [("task.created", f"t-{n}") for n in range(20)]


def test_rolled_back_effects_are_not_reported(world: World) -> None:
    world.register("t")
    at = world.read(newest)

    answers = together(
        world.writer, [set_entry("t", "a"), set_entry("missing", "a"), set_entry("t", "b")]
    )

    with pytest.raises(AppError):
        answers[1].result()
    assert events_of(world, at) == [("kv.changed", {"task": "t", "revision": 2})]


def test_a_command_without_changes_is_not_reported(world: World) -> None:
    world.register("t")
    at = world.read(newest)

    world.register("t", on_conflict="keep")

    assert events_of(world, at) == []


def test_runs_with_all_outcomes_are_reported(world: World) -> None:
    world.register("t", overlap_policy="allow", retry={"max_attempts": 1})
    at = world.read(newest)

    world.succeed(world.start())
    world.end(world.start(), Failed(RunError("ValueError", "broken")))
    world.start()
    world.delete()

    assert kinds(world, at) == [
        ("run.succeeded", "t"),
        ("run.failed", "t"),
        ("run.cancelled", "t"),
        ("task.deleted", "t"),
    ]


def test_tasks_completed_or_paused_by_the_service_are_reported(world: World) -> None:
    world.register("t", schedule=once(world.now + HOUR))
    at = world.read(newest)
    world.clock.advance(HOUR)

    world.fire()

    assert kinds(world, at) == [("task.completed", "t")]


def test_a_task_is_named_though_others_were_looked_up_since(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.store.events.log._MOST_NAMES", 2)
    for number in range(5):
        world.register(f"t-{number}")
    at = world.read(newest)

    for number in range(5):
        world.succeed(world.start(f"t-{number}"))

    assert [name for _, name in kinds(world, at)] == [f"t-{number}" for number in range(5)]


def test_many_events_of_a_commit_are_several_rows(world: World) -> None:
    before = world.count(event)

    together(world.writer, [Register(name=f"t-{n}", definition=define()) for n in range(510)])

    assert world.count(event) == before + 2
    assert len(kinds(world)) == 510


def test_many_rows_are_read_a_few_at_a_time(world: World) -> None:
    for number in range(AT_A_TIME + 5):
        world.register(f"t-{number}")

    found = world.read(events_since, BEGINNING)

    assert (len(found.events), found.more) == (AT_A_TIME, True)
    assert len(events_of(world)) == AT_A_TIME + 5


# ------------------------------------------------------------------------------------------------------- resuming
def test_a_stream_can_continue_from_every_event(world: World) -> None:
    for start in (0, 3):
        registered = [Register(name=f"t-{start + n}", definition=define()) for n in range(3)]
        together(world.writer, registered)

    events = world.read(events_since, BEGINNING).events

    for index, each in enumerate(events):
        rest = world.read(events_since, each.position).events
        assert rest == events[index + 1 :]
    assert [each.position for each in events] == sorted(
        (each.position for each in events),
        key=lambda at: (*at.commit, at.sent is None, at.sent or 0),
    )


@on_postgres
def test_a_commit_that_comes_later_than_its_id_is_not_missed(world: World) -> None:
    """Of two transactions the one with the lower id may be the one that commits last."""
    world.register("t")
    at = world.read(newest)
    late = create_engine(world.database.url)
    with late.connect() as connection:
        xid = connection.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()
        row = {"xid": xid, "at": world.now, "events": SLOW}
        connection.execute(insert(event), row)
        world.register("quick")
        assert (kinds(world, at), world.read(newest)) == ([], at)
        connection.commit()
    late.dispose()

    assert kinds(world, at) == [("task.created", "slow"), ("task.created", "quick")]


# ------------------------------------------------------------------------------------------------------ retention
def test_a_reader_can_detect_that_it_missed_removed_events(world: World) -> None:
    for name in ("a", "b", "c"):
        world.register(name)
    first, second, third = (each.position for each in world.read(events_since, BEGINNING).events)
    world.clock.advance(2 * DAY)
    world.register("d")

    assert world.do(RemoveEvents(EventRetention(DAY), 100)) == 3
    assert world.do(RemoveEvents(EventRetention(DAY), 100)) == 0

    assert kinds(world, third) == [("task.created", "d")]
    lost = [world.read(is_lost, each) for each in (BEGINNING, first, second, third)]
    assert lost == [True, True, True, False]
    assert not world.read(is_lost, world.read(newest))


def test_events_are_removed_in_small_batches(world: World) -> None:
    for number in range(10):
        world.register(f"t-{number}")

    assert [world.do(RemoveEvents(EventRetention(timedelta(0)), 4)) for _ in range(4)] == [
        5,
        5,
        2,
        0,
    ]
    assert kinds(world) == []


def test_events_of_many_commits_are_not_kept_for_long(world: World) -> None:
    for number in range(10):
        world.register(f"t-{number}")

    world.do(RemoveEvents(EventRetention(DAY, most=3), 100))

    assert [name for _, name in kinds(world)] == ["t-7", "t-8", "t-9"]


def test_half_a_commit_that_is_gone_is_lost(world: World) -> None:
    together(world.writer, [Register(name=f"t-{n}", definition=define()) for n in range(3)])
    half, *_ = (each.position for each in world.read(events_since, BEGINNING).events)

    world.do(RemoveEvents(EventRetention(timedelta(0)), 100))

    assert world.read(is_lost, half)
    assert not world.read(is_lost, EventPosition(half.xid, half.id))


def test_a_reader_of_events_removed_meanwhile_gets_the_cut(world: World) -> None:
    together(world.writer, [Register(name=f"t-{n}", definition=define()) for n in range(3)])
    half, *_, last = (each.position for each in world.read(events_since, BEGINNING).events)

    world.do(RemoveEvents(EventRetention(timedelta(0)), 100))
    world.register("later")

    found = [world.read(events_since, each) for each in (BEGINNING, half, last)]
    assert [each.cut for each in found] == [last, last, None]
    assert [[event.data["task"] for event in each.events] for each in found] == [["later"]] * 3


def test_nothing_is_lost_where_nothing_has_happened(world: World) -> None:
    assert not world.read(is_lost, BEGINNING)
    assert world.read(is_lost, EventPosition(1, 1))


def test_a_place_ahead_of_the_database_is_none_of_its_own(world: World) -> None:
    world.register("t")
    at = world.read(newest)

    assert world.read(is_lost, EventPosition(at.xid, at.id + 1))
    assert world.read(is_lost, EventPosition(at.xid + 1_000_000, 1))


@on_postgres
def test_events_of_another_server_are_removed(world: World) -> None:
    """A dump that is restored brings the numbers of transactions of the server where it was made."""
    world.register("t")
    with world.transaction() as tx:
        tx.connection.execute(update(event).values(xid=event.c.xid + 1_000_000))
    world.register("u")

    world.do(RemoveEvents(EventRetention(DAY), 100))

    assert kinds(world) == [("task.created", "u")]


def test_a_log_without_effects_writes_nothing(world: World) -> None:
    before = world.count(event)
    with world.transaction() as tx:
        EventLog().record(tx)

    assert world.count(event) == before
