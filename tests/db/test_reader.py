"""The reader: one thread for the small reads of many requests."""

import asyncio
import threading
from collections.abc import Awaitable, Iterator

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from rota.db import tables
from rota.db.reader import Reader
from rota.errors import NotFound, Unavailable
from tests.support.factories import DEADLINE, World, eventually


@pytest.fixture
def reader(world: World) -> Iterator[Reader]:
    made = Reader(world.database)
    made.start()
    yield made
    made.stop()


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(tables.task.c.name)).scalars())


def test_a_read_sees_what_was_committed_before_it(world: World, reader: Reader) -> None:
    for number in range(3):
        world.register(f"t{number}")
        assert len(asyncio.run(reader.run(names))) == number + 1


def add(connection: Connection, one: int, other: int) -> tuple[int, int]:
    return id(connection), one + other


def nonsense(connection: Connection) -> None:
    connection.execute(text("SELECT nonsense"))


def together(reader: Reader, *reads: Awaitable[object]) -> list[object]:
    """Execute reads that wait for each other; return the result or exception of each."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        begun.set()
        assert go_on.wait(DEADLINE)

    async def play() -> list[object]:
        first = asyncio.create_task(reader.run(hold))
        await asyncio.to_thread(begun.wait, DEADLINE)
        tasks = [asyncio.ensure_future(each) for each in reads]
        await asyncio.to_thread(eventually, lambda: len(reader._queue) == len(reads))
        go_on.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(play())


@pytest.mark.parametrize("error", [NotFound("It is not there."), KeyError("a bug")])
def test_queued_reads_share_a_transaction_and_each_gets_its_own_result(
    reader: Reader, error: Exception
) -> None:
    def refuse(_: Connection) -> None:
        raise error

    one, refused, other = together(
        reader, reader.run(add, 1, 2), reader.run(refuse), reader.run(add, 3, 4)
    )

    assert refused is error
    assert isinstance(one, tuple)
    assert isinstance(other, tuple)
    assert (one[1], other[1]) == (3, 7)
    assert one[0] == other[0]


def test_an_error_of_the_database_neither_affects_completed_reads_nor_ends_the_thread(
    reader: Reader,
) -> None:
    one, refused, behind = together(
        reader, reader.run(add, 1, 2), reader.run(nonsense), reader.run(add, 3, 4)
    )

    assert isinstance(one, tuple)
    assert one[1] == 3
    assert isinstance(refused, DBAPIError | Unavailable)
    assert behind is refused
    assert asyncio.run(reader.run(names)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_a_stopped_reader_answers_queued_reads_and_refuses_new_ones(
    world: World, threads: int
) -> None:
    reader = Reader(world.database, threads)

    async def play() -> list[str]:
        waiting = asyncio.create_task(reader.run(names))
        await asyncio.to_thread(eventually, lambda: len(reader._queue) == 1)
        reader.start()
        await asyncio.to_thread(reader.stop)
        with pytest.raises(Unavailable):
            await reader.run(names)
        return await waiting

    assert asyncio.run(play()) == []
