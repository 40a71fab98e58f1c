"""The one writer: groups share a commit, a failing command fails alone, and everybody is answered."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Engine, Select, event, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from rota.db import lock_retries, tables, writer
from rota.db.writer import Command, StaleError, Transaction, Writer
from rota.domain.effects import RunsReady
from rota.errors import Locked, Unavailable
from rota.store.follow_ups import follow_up
from tests.support.factories import (
    DEADLINE,
    HANDLERS,
    HOUR,
    NOON,
    Hold,
    World,
    eventually,
    foreign_lock,
    together,
)
from tests.support.postgres import PostgresServer


@dataclass(frozen=True)
class Put(Command[str]):
    """Insert a row called `name` and hand an effect on; may raise when that is done."""

    name: str
    error: Exception | None = None

    def apply(self, tx: Transaction) -> str:
        row = {"name": self.name, "description": "", "isolation": "none", "updated_at": tx.now}
        tx.connection.execute(insert(tables.handler), row)
        tx.effects.append(RunsReady(self.name))
        if self.error is not None:
            raise self.error
        return f"put {self.name}"


@dataclass(frozen=True)
class PutTogether(Command[str]):
    """The same, in one statement for all."""

    batched = True

    name: str
    error: Exception | None = None

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence["PutTogether"]) -> list[str]:
        answers = [Put(command.name).apply(tx) for command in commands]
        for command in commands:
            if command.error is not None:
                raise command.error
        return [f"{answer} of {len(commands)}" for answer in answers]


class Statement(Command[int]):
    """Run some SQL, the first so many times only."""

    def __init__(self, sql: str, times: int = 1_000) -> None:
        self._sql = sql
        self.left = times

    def apply(self, tx: Transaction) -> int:
        if self.left:
            self.left -= 1
            tx.connection.execute(text(self._sql))
        return self.left


class Now(Command[datetime]):
    def apply(self, tx: Transaction) -> datetime:
        return tx.now


@dataclass(frozen=True)
class Count(Command[str]):
    """Append an x to a handler's description; what meets it in a lock waits. `kind` tells two of them apart."""

    name: str
    kind: str = ""

    def apply(self, tx: Transaction) -> str:
        counted = tables.handler.c.description + "x"
        of_it = tables.handler.c.name == self.name
        done = tx.connection.execute(
            update(tables.handler).where(of_it).values(description=counted)
        )
        assert done.rowcount == 1
        return "counted"


def row_of(name: str) -> Select[Any]:
    return select(tables.handler.c.name).where(tables.handler.c.name == name)


def description(world: World, name: str) -> str:
    wanted = select(tables.handler.c.description).where(tables.handler.c.name == name)
    with world.database.read() as connection:
        return str(connection.execute(wanted).scalar_one())


def _names(world: World) -> set[str]:
    with world.database.read() as connection:
        found = set(connection.execute(select(tables.handler.c.name)).scalars())
    return found - set(HANDLERS)


@contextmanager
def _commits(engine: Engine) -> Iterator[list[int]]:
    """Count the commits meanwhile."""
    seen: list[int] = []

    def note(_connection: Any) -> None:
        seen.append(1)

    event.listen(engine, "commit", note)
    yield seen
    event.remove(engine, "commit", note)


# --- groups
@pytest.mark.parametrize("kind", [Put, PutTogether])
def test_commands_that_come_during_a_commit_share_the_next_one(world: World, kind: Any) -> None:
    names = [f"n{number}" for number in range(20)]

    with _commits(world.database.writing) as commits:
        answers = together(world.writer, [kind(name) for name in names])

    suffix = " of 20" if kind is PutTogether else ""
    assert [answer.result() for answer in answers] == [f"put {name}{suffix}" for name in names]
    assert len(commits) == 2  # what kept the writer busy, and all of these
    assert _names(world) == set(names)


@pytest.mark.parametrize("kind", [Put, PutTogether])
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"name": "bad", "error": ValueError("no")}, id="raises"),
        pytest.param({"name": HANDLERS[0]}, id="violates"),
    ],
)
def test_a_failing_command_does_not_fail_its_neighbours(
    world: World, kind: Any, bad: dict[str, Any]
) -> None:
    commands = [kind("a"), kind("b"), kind(**bad), kind("c")]

    *good, failed, last = together(world.writer, commands)

    assert [answer.exception() for answer in (*good, last)] == [None] * 3
    assert isinstance(failed.exception(), (ValueError, IntegrityError))
    assert _names(world) == {"a", "b", "c"}
    assert world.effects == [RunsReady("a"), RunsReady("b"), RunsReady("c")]


def test_kinds_share_a_commit_and_a_failure_of_one_does_not_double_the_other(
    world: World,
) -> None:
    commands: list[Command[str]] = [
        Put("a"),
        PutTogether("b"),
        Put("c", ValueError("no")),
        PutTogether("d", ValueError("no")),
        PutTogether("e"),
    ]

    answers = together(world.writer, commands)

    failed = [answer.exception() is not None for answer in answers]
    assert failed == [False, False, True, True, False]
    assert _names(world) == {"a", "b", "e"}
    assert sorted(world.effects, key=repr) == [RunsReady("a"), RunsReady("b"), RunsReady("e")]


def test_a_lone_failing_command_leaves_nothing(world: World) -> None:
    for command in (Put("a", ValueError("no")), PutTogether("b", ValueError("no"))):
        with pytest.raises(ValueError, match="no"):
            world.do(command)

    assert _names(world) == set()
    assert world.effects == []


def test_a_group_has_one_time(world: World) -> None:
    before = world.do(Now())
    world.clock.advance(HOUR)

    times = {answer.result() for answer in together(world.writer, [Now(), Now()])}

    assert (before, times) == (NOON, {NOON + HOUR})


def test_what_is_told_of_a_commit_comes_after_it_and_before_the_answer(world: World) -> None:
    seen: list[tuple[str, set[str]]] = []

    def on_commit(effects: Sequence[Any]) -> None:
        seen.append((effects[0].queue, _names(world)))

    told = Writer(world.database.writing, world.clock, on_commit, follow_up=follow_up)
    world.writer.stop()
    told.start()

    told.call(Put("a"))
    after_the_answer = list(seen)
    told.stop()

    assert after_the_answer == [("a", {"a"})]


def test_a_listener_that_fails_stops_nobody(world: World) -> None:
    def on_commit(effects: Sequence[Any]) -> None:
        raise RuntimeError("a bug")

    deaf = Writer(world.database.writing, world.clock, on_commit, follow_up=follow_up)
    world.writer.stop()
    deaf.start()

    answers = [deaf.call(Put("a")), deaf.call(Put("b"))]
    deaf.stop()

    assert answers == ["put a", "put b"]


# --- answers
def test_threads_and_loops_are_answered(world: World) -> None:
    async def ask(name: str) -> str:
        return await world.writer.run(Put(name))

    async def be_refused() -> None:
        with pytest.raises(ValueError, match="no"):
            await world.writer.run(Put("bad", ValueError("no")))

    answers: dict[str, str] = {}

    def from_a_loop(name: str) -> None:
        answers[name] = asyncio.run(ask(name))

    threads = [Thread(target=from_a_loop, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    asyncio.run(be_refused())
    answers["c"] = world.writer.call(Put("c"))

    assert answers == {name: f"put {name}" for name in ("a", "b", "c")}


def test_a_write_stands_even_if_its_caller_has_gone(world: World) -> None:
    hold = Hold()

    async def leave() -> None:
        future = world.writer.submit(hold)
        await asyncio.to_thread(hold.begun.wait, DEADLINE)
        unwanted = world.writer.submit(Put("a"))
        unwanted.cancel()
        hold.released.set()
        await future
        assert await world.writer.run(Put("b")) == "put b"

    asyncio.run(leave())

    assert _names(world) == {"a", "b"}


def test_one_that_cannot_take_its_answer_does_not_hold_up_the_others(world: World) -> None:
    told: list[tuple[Any, str]] = []

    def settle(answer: Any, error: BaseException | None) -> None:
        told.append((answer, repr(error)))
        if answer == "put a":
            raise RuntimeError("a bug")

    async def ask() -> None:
        hold = Hold()
        holding = world.writer.submit(hold)
        await asyncio.to_thread(hold.begun.wait, DEADLINE)
        for command in (Put("a"), Put("b"), Put("c", ValueError("no"))):
            world.writer.post(command, settle)
        hold.released.set()
        await holding
        await world.writer.run(Put("d"))

    asyncio.run(ask())

    assert told == [("put a", "None"), ("put b", "None"), (None, "ValueError('no')")]


def test_a_loop_that_has_closed_does_not_hold_up_the_others(world: World) -> None:
    hold = Hold()

    async def leave() -> None:
        world.writer.submit(hold)
        world.writer.submit(Put("a"))
        await asyncio.to_thread(hold.begun.wait, DEADLINE)

    asyncio.run(leave())
    hold.released.set()

    assert world.do(Put("b")) == "put b"
    assert _names(world) == {"a", "b"}


# --- stopping
@contextmanager
def _busy(world: World) -> Iterator[Callable[..., Thread]]:
    """Keep the writer busy meanwhile; what is asked for waits, in threads that have ended afterwards."""
    hold = Hold()
    threads: list[Thread] = []

    def ask(call: Callable[..., Any], *args: Any, waiting: int) -> Thread:
        threads.append(Thread(target=call, args=args))
        threads[-1].start()
        if call is not world.writer.call or args != (hold,):
            eventually(lambda: world.writer._queue.qsize() == waiting)
        return threads[-1]

    try:
        ask(world.writer.call, hold, waiting=0)
        assert hold.begun.wait(DEADLINE)
        yield ask
    finally:
        hold.released.set()
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


def test_a_stop_commits_what_waits_and_refuses_what_comes(world: World) -> None:
    with _busy(world) as ask:
        ask(world.writer.call, Put("a"), waiting=1)
        ask(world.writer.stop, waiting=2)
        with pytest.raises(Unavailable):
            world.do(Put("late"))

    assert _names(world) == {"a"}
    with pytest.raises(Unavailable):
        asyncio.run(world.writer.run(Put("later")))


def test_a_stop_in_the_midst_of_many_groups_still_commits_all_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_TOGETHER", 3)
    names = [f"n{number}" for number in range(10)]

    with _commits(world.database.writing) as commits, _busy(world) as ask:
        ask(world.writer.call_all, [Put(name) for name in names], waiting=10)
        ask(world.writer.stop, waiting=11)

    assert _names(world) == set(names)
    assert len(commits) == 1 + 4


def test_too_many_waiting_writes_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", 1)

    with _busy(world) as ask:
        ask(world.writer.call_all, [Put("a"), Put("b")], waiting=2)
        with pytest.raises(Unavailable, match="waiting"):
            world.do(Put("c"))

    assert _names(world) == {"a", "b"}
    assert world.do(Put("d")) == "put d"


# --- the database fails
def test_a_commit_that_failed_is_said_to_be_in_doubt(world: World) -> None:
    failures = [OperationalError("COMMIT", {}, Exception("disk full"))]

    def fail(_connection: Any) -> None:
        if failures:
            raise failures.pop()

    event.listen(world.database.writing, "commit", fail)
    with pytest.raises(Unavailable, match="may or may not"):
        world.do(Put("a"))
    event.remove(world.database.writing, "commit", fail)

    assert world.effects == []
    assert world.do(Put("b")) == "put b"


def test_a_database_that_fails_is_told_to_everybody_in_the_group(world: World) -> None:
    class Broken(Command[None]):
        def apply(self, tx: Transaction) -> None:
            raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    answers = together(world.writer, [Put("a"), Broken(), Put("b")])

    errors = [answer.exception() for answer in answers]
    assert [type(error) for error in errors] == [Unavailable] * 3
    assert "was not stored" in str(errors[0])
    assert _names(world) == set()
    assert world.do(Put("c")) == "put c"


postgres_only = [
    pytest.mark.postgres,
    pytest.mark.parametrize("database_engine", ["postgresql"], indirect=True),
]


def test_what_was_read_too_early_is_read_again(world: World) -> None:
    class Stale(Command[int]):
        tries = 0

        def apply(self, tx: Transaction) -> int:
            Put(f"stale{self.tries}").apply(tx)
            self.tries += 1
            if self.tries < 3:
                raise StaleError
            return self.tries

    answers = together(world.writer, [Put("a"), Stale(), PutTogether("b")])

    assert [answer.result() for answer in answers] == ["put a", 3, "put b of 1"]
    assert _names(world) == {"a", "b", "stale2"}


class TestOnPostgresql:
    pytestmark = postgres_only

    @pytest.mark.parametrize("code", ["40001", "40P01"])
    def test_a_transaction_that_lost_against_another_is_done_again(
        self, world: World, code: str
    ) -> None:
        lost = Statement(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE='{code}'; END $$", times=2)

        answers = together(world.writer, [Put("a"), lost, PutTogether("b")])

        assert [answer.exception() for answer in answers] == [None] * 3
        assert _names(world) == {"a", "b"}
        assert sorted(world.effects, key=repr) == [RunsReady("a"), RunsReady("b")]

    def test_one_that_always_loses_is_given_up(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lock_retries, "PATIENCE", 0.2)
        lost = Statement("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE='40001'; END $$")

        with pytest.raises(Locked, match="was not stored"):
            world.do(lost)

        assert 3 <= 1_000 - lost.left < 10

    def test_one_that_loses_again_and_again_does_not_fail_its_neighbours(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lock_retries, "PATIENCE", 0.2)
        lost = Statement("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE='40P01'; END $$")

        first, loser, last = together(world.writer, [Put("a"), lost, PutTogether("b")])

        assert (first.result(), last.result()) == ("put a", "put b of 1")
        assert isinstance(loser.exception(), Locked)

    @pytest.mark.parametrize("code", ["57014", "53200", "XX000"])
    def test_a_fault_that_concerns_one_command_does_not_fail_its_neighbours(
        self, world: World, code: str
    ) -> None:
        """A time-out of a statement, a lack of memory, a fault inside the server."""
        broken = Statement(f"DO $$ BEGIN RAISE 'so it is' USING ERRCODE='{code}'; END $$")

        first, refused, last = together(world.writer, [Put("a"), broken, PutTogether("b")])

        assert (first.result(), last.result()) == ("put a", "put b of 1")
        assert type(refused.exception()) is Unavailable
        assert "so it is" in str(refused.exception())
        assert "was not stored" in str(refused.exception())

    def test_a_foreign_lock_holds_up_only_those_who_need_the_row(self, world: World) -> None:
        world.do(Put("locked"))
        world.do(Put("free"))
        began = time.monotonic()

        with foreign_lock(world, row_of("locked")) as release, ThreadPoolExecutor() as threads:
            waits = [threads.submit(world.do, Count("locked", kind)) for kind in ("", "again")]
            done = [
                world.do(Count("free")),
                *(each.result() for each in together(world.writer, [Put("a"), Count("free")])),
            ]
            took = time.monotonic() - began
            still_wait = [not each.done() for each in waits]
            release()
            assert [each.result(DEADLINE) for each in waits] == ["counted"] * 2

        assert done == ["counted", "put a", "counted"]
        assert took < lock_retries.PATIENCE / 2
        assert still_wait == [True, True]
        assert (description(world, "locked"), description(world, "free")) == ("xx", "xx")

    def test_a_command_that_meets_a_lock_in_a_group_is_put_back_and_its_neighbours_are_not(
        self, world: World
    ) -> None:
        world.do(Put("locked"))
        neighbours = [PutTogether("a"), Put("b"), PutTogether("c")]
        with foreign_lock(world, row_of("locked")) as release, ThreadPoolExecutor() as threads:
            hold = Hold()
            threads.submit(world.do, hold)
            assert hold.begun.wait(DEADLINE)
            waiting = threads.submit(world.do, Count("locked"))
            eventually(lambda: world.writer._queue.qsize() == 1)
            answers = threads.submit(world.writer.call_all, neighbours)
            eventually(lambda: world.writer._queue.qsize() == 4)
            hold.released.set()

            kept = [answer.exception() for answer in answers.result(DEADLINE)]
            names = _names(world)
            waits = not waiting.done()
            release()

            assert waiting.result(DEADLINE) == "counted"
        assert (kept, names, waits) == ([None] * 3, {"a", "b", "c", "locked"}, True)
        assert description(world, "locked") == "x"

    def test_whoever_needs_a_row_that_stays_locked_is_told_to_try_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lock_retries, "PATIENCE", 0.2)
        world.do(Put("locked"))

        with (
            foreign_lock(world, row_of("locked")),
            pytest.raises(Locked, match=r"locked by somebody else .* was not stored"),
        ):
            world.do(Count("locked"))

        assert description(world, "locked") == ""

    def test_an_impatient_command_is_told_at_once(self, world: World) -> None:
        class Impatient(Count):
            patient = False

        world.do(Put("locked"))
        with foreign_lock(world, row_of("locked")):
            alone, in_a_group = Impatient("locked"), [Put("a"), Impatient("locked")]
            with pytest.raises(Locked):
                world.do(alone)
            put, refused = together(world.writer, in_a_group)

        assert put.result() == "put a"
        assert isinstance(refused.exception(), Locked)
        assert description(world, "locked") == ""

    def test_a_stop_does_not_wait_for_a_lock(self, world: World) -> None:
        world.do(Put("locked"))

        with foreign_lock(world, row_of("locked")), ThreadPoolExecutor() as threads:
            waiting = threads.submit(world.do, Count("locked"))
            eventually(lambda: len(world.writer._put_back) > 0)
            world.writer.stop()

            assert isinstance(waiting.exception(DEADLINE), Locked)
        assert description(world, "locked") == ""

    def test_a_lost_connection_is_survived(
        self, world: World, postgres_server: PostgresServer
    ) -> None:
        world.do(Put("a"))

        postgres_server.restart()

        assert world.do(Put("b")) == "put b"
        assert _names(world) == {"a", "b"}
        assert world.effects == [RunsReady("a"), RunsReady("b")]

    def test_a_server_that_is_down_is_unavailable_until_it_is_back(
        self, world: World, postgres_server: PostgresServer
    ) -> None:
        postgres_server.stop()
        try:
            with pytest.raises(Unavailable):
                world.do(Put("a"))
            with pytest.raises(Unavailable):
                _names(world)
        finally:
            postgres_server.start()

        assert world.do(Put("b")) == "put b"
        assert _names(world) == {"b"}

    def test_a_connection_that_is_killed_in_the_midst_of_a_group_loses_nothing(
        self, world: World
    ) -> None:
        suicide = Statement("SELECT pg_terminate_backend(pg_backend_pid())", times=1)

        answers = together(world.writer, [Put("a"), suicide, Put("b")])

        assert [answer.exception() for answer in answers] == [None] * 3
        assert _names(world) == {"a", "b"}


def test_commands_are_counted(world: World) -> None:
    before = world.writer._metrics.writes._value.get()

    together(world.writer, [Put("a"), Put("b")])

    assert world.writer._metrics.writes._value.get() == before + 3
