"""Calendars in the database: declared, used, changed and removed; what was planned with old days does not fire."""

from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from sqlalchemy import event

from rota.db import tables
from rota.domain.calendars.days import listed
from rota.domain.calendars.holiday_rules import Region
from rota.domain.calendars.source import NamedCalendar, Source, SourceKind
from rota.domain.primitives.preconditions import Precondition
from rota.domain.reasons import SkipReason
from rota.domain.runs.plan import DueTask
from rota.domain.runs.planning import plan
from rota.domain.runs.upcoming import next_run
from rota.domain.stats.window import Window
from rota.domain.tasks.definition import OnConflict
from rota.domain.time_zones import database as zone_database
from rota.domain.time_zones.database import PINNED
from rota.engine.replanning.calendar_replanner import CalendarReplanner
from rota.errors import Conflict, Invalid, NotFound, PreconditionFailed
from rota.store.calendars.changes import PutCalendar, RemoveCalendar, UpdateHolidays
from rota.store.calendars.reading import find_calendar, list_calendars
from rota.store.calendars.usage import users_of
from rota.store.scheduling.calendar_replanning import ReplansEnded, changed_calendars
from rota.store.scheduling.due import due_tasks
from rota.store.scheduling.fire import Fire, OvertakenError
from rota.store.scheduling.replanning import replanned_of, stored_fire_times
from rota.store.stats.chosen import ChosenTasks
from rota.store.stats.reading import read_report
from rota.store.task_rows import find_task
from rota.store.tasks.lifecycle import Purge
from tests.store.test_explain import why_at
from tests.support.factories import DAY, HOUR, NOON, World
from tests.support.zones import changed

TODAY = NOON.date()
LEFT_OUT = [{"calendar": "c"}]
DAILY: dict[str, Any] = {"type": "cron", "expression": "0 13 * * *", "exclude": LEFT_OUT}
DELAY: dict[str, Any] = {
    "type": "interval",
    "every": 86_400,
    "mode": "fixed_delay",
    "exclude": LEFT_OUT,
}


def dates(*days: date) -> Source:
    return Source(SourceKind.DATES, dates=days, spans=listed(days))


def put(world: World, *days: date, name: str = "c", **fields: Any) -> NamedCalendar:
    source = fields.pop("source", dates(*days))
    given = {"description": None, "by": "me"} | fields
    calendar, _ = world.do(PutCalendar(name=name, source=source, **given))
    return calendar


def due(world: World) -> DueTask:
    (found,) = world.read(due_tasks, world.now, 10)
    return found


def replan(world: World) -> None:
    CalendarReplanner(world.database, world.writer, world.clock).check()


def test_a_calendar_is_kept_as_it_was_declared(world: World) -> None:
    region = Source(SourceKind.HOLIDAYS, region=Region("DE", "BE"))
    put(world, TODAY, TODAY + DAY, description="closed")
    made = put(world, name="de", source=region)

    read = world.read(find_calendar, "c")

    assert read.source == dates(TODAY, TODAY + DAY)
    assert (read.description, read.version) == ("closed", 1)
    assert world.read(find_calendar, "de") == made
    assert [each.name for each in world.read(list_calendars, "", 10)] == ["c", "de"]
    with pytest.raises(NotFound, match="no calendar 'x'"):
        world.read(find_calendar, "x")


def test_the_same_declaration_changes_nothing_and_another_one_is_a_version(world: World) -> None:
    first = put(world, TODAY)

    assert put(world, TODAY) == first
    described = put(world, TODAY, description="new")
    changed = put(world, TODAY + DAY, description="new")

    assert (described.version, changed.version) == (2, 3)
    assert described.revision == first.revision != changed.revision


def test_a_precondition_is_compared_with_the_version(world: World) -> None:
    first = put(world, TODAY, expected=Precondition.nothing())
    read = Precondition.exactly(first.id, first.version)

    for command in (
        PutCalendar(name="c", source=dates(), description=None, by="me", expected=None),
        PutCalendar(name="c", source=dates(TODAY), description=None, by="me", expected=None),
    ):
        world.do(command)

    with pytest.raises(PreconditionFailed, match="not as you read it"):
        put(world, expected=read)
    with pytest.raises(PreconditionFailed, match="is a calendar 'c' already"):
        put(world, expected=Precondition.nothing())
    with pytest.raises(PreconditionFailed, match="There is no"):
        put(world, name="new", expected=read)


def test_a_task_with_a_calendar_that_is_not_there_is_refused(world: World) -> None:
    put(world, TODAY, name="holidays-berlin")
    schedule = DAILY | {"exclude": [{"calendar": "holidays-berlln"}]}

    with pytest.raises(Invalid, match="did you mean 'holidays-berlin'") as refused:
        world.register(schedule=schedule)

    assert refused.value.faults[0].pointer == "/schedule/exclude"


def test_a_calendar_that_tasks_use_is_not_removed(world: World) -> None:
    calendar = put(world, TODAY)
    world.register("b", schedule=DAILY)
    world.register("a", schedule={"type": "any_of", "schedules": [DAILY]})

    with pytest.raises(Conflict, match="2 tasks use the calendar 'c': 'a' and 'b'") as refused:
        world.do(RemoveCalendar(name="c"))
    assert refused.value.slug == "calendar-in-use"
    assert refused.value.present == {"tasks": ["a", "b"], "count": 2}

    world.register("a", schedule={"type": "manual"}, on_conflict=OnConflict.UPDATE)
    world.delete("b")
    assert world.read(users_of, calendar.id).count == 0
    world.do(RemoveCalendar(name="c"))

    while world.do(Purge(100)):
        pass
    assert world.count(tables.calendar) == world.count(tables.task_calendar) == 0
    with pytest.raises(NotFound):
        world.do(RemoveCalendar(name="c"))


def test_a_deleted_task_is_purged_with_what_it_used(world: World) -> None:
    put(world, TODAY)
    world.register(schedule=DAILY)
    world.delete()

    while world.do(Purge(100)):
        pass

    assert world.count(tables.task) == world.count(tables.task_calendar) == 0


# --- fire times
def test_a_fire_time_on_a_day_of_the_calendar_is_skipped(world: World) -> None:
    put(world, TODAY)
    world.register(schedule=DAILY)
    assert next_run(world.task()) == NOON + DAY + HOUR

    world.clock.set(NOON + DAY + HOUR)
    world.fire()

    first, latest = world.runs()
    assert (first.reason, first.scheduled_for) == (SkipReason.EXCLUDED, NOON + HOUR)
    assert (latest.reason, latest.scheduled_for) == (None, NOON + DAY + HOUR)


def test_an_explanation_names_the_calendar_that_leaves_fire_times_out(world: World) -> None:
    put(world, *((NOON + n * DAY).date() for n in (0, 1, 3)))
    excluded = [*LEFT_OUT, (NOON + 4 * DAY).date().isoformat()]
    world.register(schedule=DAILY | {"exclude": excluded})
    world.clock.advance(2 * DAY)
    world.fire()

    past, ahead, by_date = (why_at(world, NOON + HOUR + n * DAY).message for n in (1, 3, 4))

    assert past.endswith("skipped: the schedule leaves them out (exclude: the calendar 'c').")
    assert ahead.endswith("the schedule leaves it out (exclude: the calendar 'c').")
    assert by_date.endswith("the schedule leaves it out (exclude).")


def test_a_change_of_the_calendar_holds_for_what_has_not_fired(world: World) -> None:
    put(world, TODAY)
    world.register(schedule=DAILY)

    put(world, TODAY + DAY)

    assert next_run(world.task()) == NOON + HOUR
    assert world.registration(schedule=DAILY, on_conflict=OnConflict.UPDATE).outcome == "unchanged"


@pytest.mark.parametrize("days", [[TODAY], [TODAY + DAY]])
def test_what_was_planned_with_days_that_have_changed_does_not_fire(
    world: World, days: list[date]
) -> None:
    put(world, *days)
    world.register(schedule=DAILY)
    world.clock.set(NOON + HOUR)
    stale = due(world)
    command = Fire(stale, plan(stale, world.now))

    put(world, *({TODAY, TODAY + DAY} - set(days)))

    with pytest.raises(OvertakenError):
        world.do(command)
    world.fire()
    (only,) = world.runs()
    assert only.reason == (None if days == [TODAY] else SkipReason.EXCLUDED)


def test_the_change_of_another_calendar_delays_a_fire_by_a_pass_only(world: World) -> None:
    put(world, TODAY + DAY)
    world.register(schedule=DAILY)
    world.register("plain", schedule=DAILY | {"exclude": []})
    world.clock.set(NOON + HOUR)
    found = world.read(due_tasks, world.now, 10)
    put(world, TODAY, name="other")
    put(world, TODAY + DAY, name="other")

    requests = world.writer.call_all([Fire(each, plan(each, world.now)) for each in found])

    failed = {each.name: request.exception() for each, request in zip(found, requests, strict=True)}
    assert isinstance(failed["t"], OvertakenError)
    assert failed["plain"] is None
    world.fire()
    assert len(world.runs()) == 1


def statements(world: World) -> list[str]:
    """Return the statements that firing everything takes."""
    found: list[str] = []

    def note(*args: Any) -> None:
        found.append(args[2])

    engines = (world.database.writing, world.database._reading)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    world.fire()
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    return found


def test_a_calendar_costs_no_statement_at_a_fire(world: World) -> None:
    put(world, TODAY - DAY)
    world.register("plain", schedule=DAILY | {"exclude": []})
    world.clock.set(NOON + HOUR)
    world.fire()  # what is read once is in memory from now on
    world.clock.set(NOON + DAY + HOUR)
    plain = statements(world)
    world.cancel("plain")
    world.register(schedule=DAILY)
    world.clock.set(NOON + 2 * DAY + HOUR)
    world.read(due_tasks, world.now, 10)  # and so are the days

    assert len(statements(world)) <= len(plain)


def test_a_new_time_zone_database_replans_a_task_with_a_calendar(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(world, TODAY + DAY)
    world.register(schedule=DAILY | {"timezone": "Europe/Berlin"})
    page = world.read(stored_fire_times, None, 10)
    newer = changed("2099a", {"Europe/Berlin": "Africa/Cairo"})
    monkeypatch.setattr(zone_database, "PINNED", newer)

    found, unplannable = world.read(replanned_of, page, PINNED, world.now)

    assert unplannable == []
    assert [each.next_fire.at for each in found] == [NOON + 23 * HOUR]


def test_what_waits_of_a_task_with_a_calendar_is_counted_in_its_statistics(world: World) -> None:
    put(world, TODAY + DAY)
    world.register(schedule=DAILY)
    world.pause()
    world.clock.set(NOON + 2 * DAY + HOUR)

    window = Window(NOON, world.now + HOUR)
    found = world.read(read_report, ChosenTasks(id=world.task().id), window, world.now)

    assert (found.completeness().due, found.exact) == (3, True)


# --- delays
def finish_today(world: World) -> None:
    world.register(schedule=DELAY)
    world.clock.set(NOON + DAY)
    world.fire()
    (run,) = world.claim()
    world.succeed(run)


def test_a_delay_moves_on_when_its_day_becomes_one_of_the_calendar_and_back(world: World) -> None:
    put(world, TODAY)
    finish_today(world)
    assert world.task().next_fire_at == NOON + 2 * DAY

    put(world, TODAY + 2 * DAY, TODAY + 3 * DAY)
    replan(world)
    assert world.task().next_fire_at == NOON + 4 * DAY
    put(world, TODAY + 3 * DAY)
    replan(world)

    assert world.task().next_fire_at == NOON + 2 * DAY
    assert world.read(changed_calendars) == []


@pytest.mark.parametrize("more", [{}, {"jitter": 3_600}])
def test_a_delay_that_has_not_run_yet_moves_back_as_well(
    world: World, more: dict[str, Any]
) -> None:
    put(world)
    first = world.register(schedule=DELAY | more).next_fire_at
    assert first is not None

    put(world, first.date())
    replan(world)
    moved = world.task().next_fire_at
    put(world)
    replan(world)

    assert moved is not None
    assert moved > first
    assert world.task().next_fire_at == first


def test_a_change_during_a_replanning_is_replanned_again(world: World) -> None:
    put(world, TODAY)
    put(world, TODAY + DAY)
    ((id, revision),) = world.read(changed_calendars)
    put(world, TODAY + 2 * DAY)

    assert not world.do(ReplansEnded(id, revision))

    assert world.read(changed_calendars) != []


def test_a_delay_that_is_due_before_it_is_replanned_is_skipped(world: World) -> None:
    put(world, TODAY)
    finish_today(world)
    put(world, TODAY + 2 * DAY)
    world.clock.set(NOON + 2 * DAY)

    world.fire()

    assert world.runs()[-1].reason == SkipReason.EXCLUDED
    assert world.task().next_fire_at == NOON + 3 * DAY


# --- holidays
def test_an_update_of_the_library_changes_the_calendars_of_holidays_once(world: World) -> None:
    before = put(world, name="de", source=Source(SourceKind.HOLIDAYS, region=Region("DE")))
    put(world, TODAY)

    done = [world.do(UpdateHolidays(version)) for version in ("0.98", "0.109", "0.109", "0.99")]

    assert done == [False, True, False, False]
    after = world.read(find_calendar, "de")
    assert after.version == before.version
    assert world.read(changed_calendars) == [(after.id, after.revision)]


def test_a_rolled_back_change_leaves_the_days_as_they_are(world: World) -> None:
    put(world, TODAY)
    world.register(schedule=DAILY)

    with suppress(ZeroDivisionError), world.transaction() as tx:
        PutCalendar(name="c", source=dates(TODAY + DAY), description=None, by="me").apply(tx)
        assert next_run(find_task(tx.connection, "t")) == NOON + HOUR
        raise ZeroDivisionError

    assert next_run(world.task()) == NOON + DAY + HOUR
