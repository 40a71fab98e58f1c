"""The one writer: groups share a commit, a failing command fails alone, and every caller is answered."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError

from rota.db import writer
from rota.db.command import Command, StaleError, Transaction
from rota.db.writer import Writer
from rota.domain.effects import RunsReady
from rota.errors import Unavailable
from rota.store.follow_ups import follow_up
from tests.db.commands import (
    Now,
    Put,
    PutTogether,
    committed_in,
    names_in,
)
from tests.support.factories import (
    DEADLINE,
    HANDLERS,
    HOUR,
    NOON,
    Hold,
    World,
    eventually,
    together,
)


# --- groups
@pytest.mark.parametrize("kind", [Put, PutTogether])
def test_commands_that_arrive_during_a_commit_share_the_next_one(world: World, kind: Any) -> None:
    names = [f"n{number}" for number in range(20)]

    with committed_in(world.database.writing) as commits:
        answers = together(world.writer, [kind(name) for name in names])

    suffix = " of 20" if kind is PutTogether else ""
    assert [answer.result() for answer in answers] == [f"put {name}{suffix}" for name in names]
    assert len(commits) == 2  # the command that kept the writer busy, and all of these
    assert names_in(world) == set(names)


@pytest.mark.parametrize("kind", [Put, PutTogether])
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"name": "bad", "error": ValueError("no")}, id="raises"),
        pytest.param({"name": HANDLERS[0]}, id="violates"),
    ],
)
def test_a_failing_command_does_not_fail_the_others(
    world: World, kind: Any, bad: dict[str, Any]
) -> None:
    commands = [kind("a"), kind("b"), kind(**bad), kind("c")]

    *good, failed, last = together(world.writer, commands)

    assert [answer.exception() for answer in (*good, last)] == [None] * 3
    assert isinstance(failed.exception(), (ValueError, IntegrityError))
    assert names_in(world) == {"a", "b", "c"}
    assert world.effects == [RunsReady("a"), RunsReady("b"), RunsReady("c")]


def test_kinds_share_a_commit_and_a_failure_of_one_does_not_repeat_the_other(
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
    assert names_in(world) == {"a", "b", "e"}
    assert sorted(world.effects, key=repr) == [RunsReady("a"), RunsReady("b"), RunsReady("e")]


def test_a_lone_failing_command_stores_nothing(world: World) -> None:
    for command in (Put("a", ValueError("no")), PutTogether("b", ValueError("no"))):
        with pytest.raises(ValueError, match="no"):
            world.do(command)

    assert names_in(world) == set()
    assert world.effects == []


def test_a_group_has_one_time(world: World) -> None:
    before = world.do(Now())
    world.clock.advance(HOUR)

    times = {answer.result() for answer in together(world.writer, [Now(), Now()])}

    assert (before, times) == (NOON, {NOON + HOUR})


def test_effects_are_emitted_after_the_commit_and_before_the_answer(world: World) -> None:
    seen: list[tuple[str, set[str]]] = []

    def on_commit(effects: Sequence[Any]) -> None:
        seen.append((effects[0].queue, names_in(world)))

    emitting = Writer(world.database.writing, world.clock, on_commit, follow_up=follow_up)
    world.writer.stop()
    emitting.start()

    emitting.call(Put("a"))
    after_the_answer = list(seen)
    emitting.stop()

    assert after_the_answer == [("a", {"a"})]


def test_a_listener_that_fails_does_not_stop_the_writer(world: World) -> None:
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


def test_a_write_is_committed_even_if_its_caller_has_gone(world: World) -> None:
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

    assert names_in(world) == {"a", "b"}


def test_a_caller_that_cannot_take_its_answer_does_not_delay_the_others(world: World) -> None:
    answers: list[tuple[Any, str]] = []

    def settle(answer: Any, error: BaseException | None) -> None:
        answers.append((answer, repr(error)))
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

    assert answers == [("put a", "None"), ("put b", "None"), (None, "ValueError('no')")]


def test_a_closed_loop_does_not_delay_the_others(world: World) -> None:
    hold = Hold()

    async def leave() -> None:
        world.writer.submit(hold)
        world.writer.submit(Put("a"))
        await asyncio.to_thread(hold.begun.wait, DEADLINE)

    asyncio.run(leave())
    hold.released.set()

    assert world.do(Put("b")) == "put b"
    assert names_in(world) == {"a", "b"}


# --- stopping
@contextmanager
def _busy(world: World) -> Iterator[Callable[..., Thread]]:
    """Keep the writer busy in this context: commands queue up, in threads that have ended afterwards."""
    hold = Hold()
    threads: list[Thread] = []

    def ask(call: Callable[..., Any], *args: Any, waiting: int) -> Thread:
        threads.append(Thread(target=call, args=args))
        threads[-1].start()
        if call is not world.writer.call or args != (hold,):
            eventually(lambda: len(world.writer._queue) == waiting)
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


def test_a_stop_commits_queued_commands_and_refuses_new_ones(world: World) -> None:
    with _busy(world) as ask:
        ask(world.writer.call, Put("a"), waiting=1)
        ask(world.writer.stop, waiting=2)
        with pytest.raises(Unavailable):
            world.do(Put("late"))

    assert names_in(world) == {"a"}
    with pytest.raises(Unavailable):
        asyncio.run(world.writer.run(Put("later")))


def test_a_stop_amid_many_groups_commits_all_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_TOGETHER", 3)
    names = [f"n{number}" for number in range(10)]

    with committed_in(world.database.writing) as commits, _busy(world) as ask:
        ask(world.writer.call_all, [Put(name) for name in names], waiting=10)
        ask(world.writer.stop, waiting=11)

    assert names_in(world) == set(names)
    assert len(commits) == 1 + 4


def test_too_many_waiting_writes_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_PENDING", 1)

    with _busy(world) as ask:
        ask(world.writer.call_all, [Put("a"), Put("b")], waiting=2)
        with pytest.raises(Unavailable, match="waiting"):
            world.do(Put("c"))

    assert names_in(world) == {"a", "b"}
    assert world.do(Put("d")) == "put d"


# --- the database fails
def test_a_failed_commit_is_reported_as_in_doubt(world: World) -> None:
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


def test_a_failure_of_the_database_is_reported_to_every_caller_of_the_group(world: World) -> None:
    class Broken(Command[None]):
        def apply(self, tx: Transaction) -> None:
            raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    answers = together(world.writer, [Put("a"), Broken(), Put("b")])

    errors = [answer.exception() for answer in answers]
    assert [type(error) for error in errors] == [Unavailable] * 3
    assert "was not stored" in str(errors[0])
    assert names_in(world) == set()
    assert world.do(Put("c")) == "put c"


def test_a_command_that_read_stale_data_is_repeated(world: World) -> None:
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
    assert names_in(world) == {"a", "b", "stale2"}


def test_commands_are_counted(world: World) -> None:
    before = world.writer._metrics.writes._value.get()

    together(world.writer, [Put("a"), Put("b")])

    assert world.writer._metrics.writes._value.get() == before + 3
