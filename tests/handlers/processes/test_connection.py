"""The service's end of conversations with children, and of the process server that makes these."""

import asyncio
import socket
from subprocess import Popen
from typing import Any, cast
from unittest.mock import Mock

import pytest

from rota import Stop
from rota.handlers.calls.call import Call
from rota.handlers.daemon_threads import DaemonThreads
from rota.handlers.processes import connection, fork_server
from rota.handlers.processes.connection import Conversation
from rota.handlers.processes.fork_server import ANSWER_SECONDS, ForkServer
from rota.handlers.processes.fork_server_main import REPORT
from tests.support.factories import DEADLINE


def test_a_conversation_that_does_not_end_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody else may hold the child's end of the connection, so that it stays open when the child is gone."""
    monkeypatch.setattr(connection, "_GRACE_SECONDS", 0.01)

    async def status() -> int:
        loop = asyncio.get_running_loop()
        parts = (Mock(Call), Mock(Stop), Mock(ForkServer), Mock(DaemonThreads))
        held = Conversation(*parts, 1_000, 1_000, 1_000)
        talk = asyncio.create_task(asyncio.Event().wait())
        end = loop.create_future()
        end.set_result(7)
        # A message is being read when the child ends, and then no other one comes.
        held._reading = True
        loop.call_later(0.1, setattr, held, "_reading", False)
        try:
            async with asyncio.timeout(DEADLINE):
                return await held._see_end(cast("asyncio.Task[None]", talk), end)
        finally:
            talk.cancel()

    assert asyncio.run(status()) == 7


class Clock:
    """What the process server's end needs of a loop; time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Any, tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, work: Any, *given: Any) -> Mock:
        self.due.append((when, work, given))
        return Mock()

    def call_next(self, late: float = 0.0) -> None:
        """Do what is due next, so late."""
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
    """A server that is ready, whose process is nobody."""
    made = ForkServer([], cast("asyncio.AbstractEventLoop", clock))
    made._process = Mock(Popen)
    made._is_ready = True
    return made


def was_killed(server: ForkServer) -> bool:
    return bool(cast("Mock", server._process).kill.called)


def test_a_look_that_is_held_up_itself_takes_nobody_for_silent(server: Any, clock: Clock) -> None:
    server._expect(b"F", 1)

    clock.call_next(late=0.5)
    assert not was_killed(server)
    server._take(b"S", 1, 0)
    clock.call_next()

    assert not was_killed(server)


def test_a_server_that_does_not_answer_until_the_second_look_is_killed(
    server: Any, clock: Clock
) -> None:
    server._expect(b"F", 1)

    clock.call_next(late=0.5)
    assert clock.due[-1][0] == pytest.approx(clock.now + 1)
    clock.call_next()

    assert was_killed(server)


def test_what_is_asked_while_handlers_are_imported_is_not_overdue_afterwards(
    server: Any, clock: Clock
) -> None:
    server._is_ready = False
    server._expect(b"F", 1)
    clock.now += 10 * ANSWER_SECONDS

    server._take(b"R", 0, 0)

    assert not server.is_silent
    clock.call_next()
    assert was_killed(server), "from then on it counts"


def test_all_answers_that_are_there_are_taken_at_once(server: Any) -> None:
    """One at a time would leave the rest for later turns of the loop, and a look in between would find them missing."""
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
