"""The service's end of the connections to children and to the fork server."""

import asyncio
import socket
from subprocess import Popen
from typing import Any, cast
from unittest.mock import Mock

import pytest

from rota import Stop
from rota.daemon_threads import DaemonThreads
from rota.handlers.calls.call import Call, Limits
from rota.handlers.processes import connection, fork_server
from rota.handlers.processes.connection import ChildConnection
from rota.handlers.processes.fork_server import ANSWER_SECONDS, ForkServer
from rota.handlers.processes.fork_server_main import REPORT
from tests.support.factories import DEADLINE


def test_a_connection_that_stays_open_is_not_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process may hold the child's end of the connection, so that it stays open when the child has ended."""
    monkeypatch.setattr(connection, "_GRACE_SECONDS", 0.01)

    async def status() -> int:
        loop = asyncio.get_running_loop()
        parts = (Mock(Call), Mock(Stop), Mock(ForkServer), Mock(DaemonThreads))
        held = ChildConnection(*parts, Limits(1_000, 1_000, 1_000))
        receiving = asyncio.create_task(asyncio.Event().wait())
        end = loop.create_future()
        end.set_result(7)
        # A message is being read when the child ends, and then no other one comes.
        held._reading = True
        loop.call_later(0.1, setattr, held, "_reading", False)
        try:
            async with asyncio.timeout(DEADLINE):
                return await held._wait_for_end(cast("asyncio.Task[None]", receiving), end)
        finally:
            receiving.cancel()

    assert asyncio.run(status()) == 7


class Clock:
    """The part of an event loop that the client of the fork server uses; the test moves its time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Any, tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, work: Any, *given: Any) -> Mock:
        self.due.append((when, work, given))
        return Mock()

    def call_next(self, late: float = 0.0) -> None:
        """Call what is due next, `late` by so many seconds."""
        when, work, given = self.due.pop()
        self.now = when + late
        work(*given)

    def remove_reader(self, _number: int) -> None:
        return


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Any:
    """A server that is ready, with a mock for its process."""
    made = ForkServer([], cast("asyncio.AbstractEventLoop", clock))
    made._process = Mock(Popen)
    made._is_ready = True
    return made


def was_killed(server: ForkServer) -> bool:
    return bool(cast("Mock", server._process).kill.called)


def test_a_delayed_check_does_not_count_the_server_as_silent(server: Any, clock: Clock) -> None:
    server._expect(b"F", 1)

    clock.call_next(late=0.5)
    assert not was_killed(server)
    server._take(b"S", 1, 0)
    clock.call_next()

    assert not was_killed(server)


def test_a_server_that_does_not_answer_until_the_second_check_is_killed(
    server: Any, clock: Clock
) -> None:
    server._expect(b"F", 1)

    clock.call_next(late=0.5)
    assert clock.due[-1][0] == pytest.approx(clock.now + 1)
    clock.call_next()

    assert was_killed(server)


def test_requests_during_the_import_of_handlers_are_not_overdue_afterwards(
    server: Any, clock: Clock
) -> None:
    server._is_ready = False
    server._expect(b"F", 1)
    clock.now += 10 * ANSWER_SECONDS

    server._take(b"R", 0, 0)

    assert not server.is_silent
    clock.call_next()
    assert was_killed(server), "the time counts from then on"


def test_all_answers_that_have_arrived_are_read_at_once(server: Any) -> None:
    """Otherwise the rest would wait for later iterations of the loop, and a check in between would miss them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        server._connection = ours
        for number in range(50):
            server._expect(b"F", number)
            theirs.sendall(REPORT.pack(b"S", number, 0))

        server._read()

    assert not server._unanswered
    assert fork_server.ANSWER_SECONDS == ANSWER_SECONDS
