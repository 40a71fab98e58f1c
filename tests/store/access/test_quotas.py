"""Quotas of keys: what would exceed one is not written, whoever has used it up; other clients pay nothing for it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite

from rota.db import tables
from rota.db.command import Command
from rota.domain.access.names import NameLimit
from rota.domain.access.principal import LOCAL, Principal
from rota.domain.access.quotas import Counted, quota_of
from rota.domain.primitives.json import json_text
from rota.domain.tasks.definition import OnConflict, TaskStatus
from rota.errors import QuotaExceeded
from rota.store.access.quotas import Within, counting, within
from rota.store.scheduling.backfill import AdvanceBackfill, CancelBackfill
from rota.store.task_rows import TaskFilter
from rota.store.tasks.bulk import DoEach
from rota.store.tasks.bulk_runs import RunEach
from rota.store.tasks.registration import Register, RegisterAll
from rota.store.tasks.run_commands import Rerun, RunNow
from tests.store.test_races import Pair
from tests.support.backfills import begin, beginning
from tests.support.factories import HOUR, MINUTE, NOON, World, define, set_entry, together

OURS = NameLimit(("a-",))
US = Principal(
    label="key:us",
    idempotency_scope="key:us",
    tasks=OURS,
    max_tasks=2,
    max_unfinished_runs=3,
    max_kv_bytes=10,
)
MANUAL: dict[str, Any] = {"schedule": {"type": "manual"}, "overlap_policy": "allow"}

on_postgres = pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True)


def registering(name: str, **fields: Any) -> Register:
    return Register(name=name, definition=define(**MANUAL), **fields)


def tasks(command: Command[Any], client: Principal = US) -> Command[Any]:
    return within(client, Counted.TASKS, command)


def runs(command: Command[Any], client: Principal = US, adds: int = 1) -> Command[Any]:
    return within(client, Counted.UNFINISHED_RUNS, command, adds=adds)


def bytes_of(key: str, value: str, task: str = "a-1") -> Command[Any]:
    written = set_entry(task, key, json_text.dumps(value).encode())
    return within(US, Counted.KV_BYTES, written)


def refused(world: World, command: Command[Any]) -> dict[str, Any]:
    """Return what the refusal of a command shows."""
    with pytest.raises(QuotaExceeded) as caught:
        world.do(command)
    return dict(caught.value.present["quota"])


def all_runs(world: World) -> int:
    return world.count(tables.run)


@pytest.fixture
def full(world: World) -> World:
    """A world with as many tasks as the quota allows, one of another team, and two that have ended."""
    for name in ("a-1", "a-2", "a-cancelled", "a-deleted", "b-1"):
        world.register(name, **MANUAL)
    world.cancel("a-cancelled")
    world.delete("a-deleted")
    return world


def test_a_further_task_is_refused_and_not_written(full: World) -> None:
    shown = refused(full, tasks(registering("a-3")))

    assert shown == {"name": "max_tasks", "allowed": 2, "used": 2, "requested": 1}
    assert full.count(tables.task, tables.task.c.name == "a-3") == 0


def test_a_task_that_has_ended_makes_room(full: World) -> None:
    full.cancel("a-1")

    full.do(tasks(registering("a-3")))

    assert refused(full, tasks(registering("a-4")))["used"] == 2


def test_a_cancelled_task_is_not_revived_beyond_it(full: World) -> None:
    revived = registering("a-cancelled", on_conflict=OnConflict.UPDATE)

    assert refused(full, tasks(revived))["requested"] == 1
    assert full.task("a-cancelled").status is TaskStatus.CANCELLED


def test_tasks_are_updated_also_while_there_are_more_than_allowed(full: World) -> None:
    full.register("a-3", **MANUAL)
    update = Register(
        name="a-1", definition=define(**MANUAL, priority=5), on_conflict=OnConflict.UPDATE
    )

    full.do(tasks(update))

    assert full.task("a-1").definition.priority == 5


def test_a_batch_that_would_exceed_it_is_refused_as_a_whole(full: World) -> None:
    full.cancel("a-2")
    batch = RegisterAll(tuple(registering(name) for name in ("a-3", "a-4")))

    assert refused(full, tasks(batch)) == {
        "name": "max_tasks",
        "allowed": 2,
        "used": 1,
        "requested": 2,
    }
    full.do(tasks(RegisterAll(batch.items[:1])))


def test_a_key_without_prefixes_counts_the_tasks_of_all(full: World) -> None:
    everyone = replace(US, tasks=NameLimit(), max_tasks=3)

    assert refused(full, tasks(registering("c-1"), everyone))["used"] == 3


def test_a_run_beyond_it_is_refused(full: World) -> None:
    full.run_now("b-1")
    for _ in range(3):
        full.do(runs(RunNow(task="a-1")))

    assert refused(full, runs(RunNow(task="a-2"))) == {
        "name": "max_unfinished_runs",
        "allowed": 3,
        "used": 3,
        "requested": 1,
    }
    assert all_runs(full) == 4


def test_a_run_that_has_ended_makes_room_also_for_one_that_is_repeated(full: World) -> None:
    first = full.start("a-1")
    for _ in range(2):
        full.run_now("a-2")
    full.succeed(first)

    full.do(runs(Rerun(first.id)))

    assert refused(full, runs(Rerun(first.id)))["used"] == 3


def test_everyone_s_unfinished_runs_are_counted_by_a_key_without_prefixes(full: World) -> None:
    for name in ("a-1", "b-1", "b-1"):
        full.run_now(name)
    everyone = replace(US, tasks=NameLimit())

    assert refused(full, runs(RunNow(task="b-1"), everyone))["used"] == 3


def test_a_bulk_run_refuses_the_tasks_beyond_it(world: World) -> None:
    for name in ("a-1", "a-2", "a-3", "a-4"):
        world.register(name, **MANUAL)
    world.run_now("a-4")
    verb = RunEach(quota=quota_of(US, Counted.UNFINISHED_RUNS))
    done = world.do(DoEach(verb=verb, wanted=TaskFilter(limit=OURS)))

    assert (done.matched, done.changed, done.ran) == (4, 2, ["a-1", "a-2"])
    assert [(each.task, each.slug) for each in done.refused] == [
        ("a-3", "quota-exceeded"),
        ("a-4", "quota-exceeded"),
    ]
    assert all_runs(world) == 3


def test_a_task_of_a_bulk_run_is_refused_for_its_own_reason_also_beyond_the_quota(
    world: World,
) -> None:
    for name in ("a-1", "a-2", "a-ended"):
        world.register(name, **MANUAL)
    world.register("a-busy", schedule={"type": "manual"}, overlap_policy="skip")
    world.run_now("a-busy")
    world.cancel("a-ended")
    verb = RunEach(quota=quota_of(replace(US, max_unfinished_runs=1), Counted.UNFINISHED_RUNS))
    everything = TaskFilter(limit=OURS, status=(TaskStatus.ACTIVE, TaskStatus.CANCELLED))
    done = world.do(DoEach(verb=verb, wanted=everything))

    assert {each.task: each.slug for each in done.refused} == {
        "a-1": "quota-exceeded",
        "a-2": "quota-exceeded",
        "a-busy": "overlap",
        "a-ended": "wrong-status",
    }


def test_a_backfill_counts_with_all_runs_that_it_has_yet_to_make(world: World) -> None:
    world.register("a-1")
    world.clock.advance(HOUR)

    assert refused(world, runs(beginning(world, name="a-1", minutes=4), adds=4))["requested"] == 4
    begun = world.do(runs(beginning(world, name="a-1", minutes=3), adds=3))
    assert refused(world, runs(RunNow(task="a-1")))["used"] == 3
    world.do(AdvanceBackfill(read=begun, times=(NOON + MINUTE,), next_at=NOON + 2 * MINUTE))
    assert refused(world, runs(RunNow(task="a-1")))["used"] == 3
    world.do(CancelBackfill(task="a-1", id=begun.id))
    world.do(runs(RunNow(task="a-1")))


def test_backfills_of_others_do_not_count(world: World) -> None:
    world.register("b-1")
    world.register("a-1", **MANUAL)
    world.clock.advance(HOUR)
    begin(world, name="b-1")

    world.do(runs(RunNow(task="a-1")))


def test_a_kv_write_beyond_it_is_refused_and_not_written(full: World) -> None:
    full.do(bytes_of("a", "four", "a-2"))
    full.set("b", "others do not count", "b-1")

    shown = refused(full, bytes_of("a", "four."))

    assert shown == {"name": "max_kv_bytes", "allowed": 10, "used": 6, "requested": 7}
    assert full.entries("a-1") == {}


def test_what_runs_write_counts_and_is_written_beyond_it(world: World) -> None:
    world.register("a-1", **MANUAL)
    world.run_now("a-1")
    world.succeed(world.start("a-1"), result='"results do not count"', a="more than ten bytes")

    shown = refused(world, bytes_of("b", ""))

    assert (shown["used"], shown["requested"]) == (21, 2)
    world.do(bytes_of("a", "less than before"))
    world.delete("a-1")
    world.register("a-2", **MANUAL)
    world.do(bytes_of("a", "eight...", "a-2"))


def test_of_many_requests_at_once_only_as_many_are_taken_as_allowed(world: World) -> None:
    world.register("a-1", **MANUAL)

    answers = together(world.writer, [runs(RunNow(task="a-1")) for _ in range(6)])

    taken = [answer for answer in answers if answer.error is None]
    assert len(taken) == all_runs(world) == 3
    assert all(isinstance(answer.error, QuotaExceeded) for answer in answers if answer not in taken)


def test_a_client_without_a_quota_executes_what_it_did_before(full: World) -> None:
    command = RunNow(task="a-1")
    limited = replace(US, max_unfinished_runs=None)

    assert runs(command, LOCAL) is command
    assert runs(command, limited) is command
    assert isinstance(tasks(command, limited), Within)
    executed: list[str] = []
    engine = full.database.writing
    event.listen(engine, "before_cursor_execute", lambda *given: executed.append(given[2]))
    full.do(DoEach(verb=RunEach(), wanted=TaskFilter(limit=OURS)))
    assert not [statement for statement in executed if "count(" in statement.lower()]


@pytest.mark.parametrize(
    ("counted", "prefixes"),
    [
        (counted, prefixes)
        for counted in Counted
        for prefixes in (None, ("a-",), ("a-", "b-", "c-"))
        # For all tasks, their rows are read.
        if (counted, prefixes) != (Counted.KV_BYTES, None)
    ],
    ids=str,
)
def test_indexes_serve_the_counts(
    world: World, counted: Counted, prefixes: tuple[str, ...] | None
) -> None:
    quota = quota_of(replace(US, tasks=NameLimit(prefixes)), counted)
    assert quota is not None
    dialect = sqlite.dialect() if world.is_sqlite else postgresql.dialect()
    statement = counting(quota).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    with world.database.read() as connection:
        if world.is_sqlite:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
            steps = [row[3] for row in plan if row[3].startswith(("SCAN", "SEARCH"))]
            whole = [step for step in steps if "INDEX" not in step and "CONSTANT" not in step]
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            steps = [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}")]
            whole = [step for step in steps if "Seq Scan" in step]

    assert steps
    assert whole == []
    if prefixes is not None:
        assert "name" in str(steps)
    if prefixes is not None and counted is Counted.UNFINISHED_RUNS:
        assert "(task_id" in str(steps)  # of each task, never all tasks for each run


# --- two replicas: what one counts while the transaction of the other is still open


@pytest.fixture
def pair(world: World, migrated_database_url: str) -> Iterator[Pair]:
    for name in ("a-1", "a-2"):
        world.register(name, **MANUAL)
    other = World(migrated_database_url)
    yield Pair(world, other)
    other.close()


@on_postgres
def test_of_two_replicas_one_takes_the_last_place(pair: Pair) -> None:
    for _ in range(2):
        pair.first.run_now("a-1")

    answer = pair.second_after(runs(RunNow(task="a-1")), runs(RunNow(task="a-2")))

    assert isinstance(answer.exception(), QuotaExceeded)
    assert all_runs(pair.first) == 3


@on_postgres
def test_of_two_replicas_one_writes_the_last_bytes(pair: Pair) -> None:
    answer = pair.second_after(bytes_of("a", "six..."), bytes_of("a", "six...", "a-2"))

    assert isinstance(answer.exception(), QuotaExceeded)


@on_postgres
def test_of_two_keys_with_the_same_prefixes_one_takes_the_last_place(pair: Pair) -> None:
    one, another = (replace(US, label=label, max_tasks=3) for label in ("key:1", "key:2"))

    answer = pair.second_after(tasks(registering("a-3"), one), tasks(registering("a-4"), another))

    assert isinstance(answer.exception(), QuotaExceeded)


@on_postgres
@pytest.mark.parametrize(("first", "second"), [("a-", "a"), ("a", "a-"), ("", "a-"), ("a-", "")])
def test_of_two_keys_whose_prefixes_overlap_one_takes_the_last_place(
    pair: Pair, first: str, second: str
) -> None:
    one, another = (
        replace(US, label=f"key:{each}", tasks=NameLimit((each,)), max_tasks=3)
        for each in (first, second)
    )

    answer = pair.second_after(tasks(registering("a-3"), one), tasks(registering("a-4"), another))

    assert isinstance(answer.exception(), QuotaExceeded)
