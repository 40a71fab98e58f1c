"""The service's end of the process server (`zygote.py`): started when first needed, and again.

Each request is answered at once. A server that does not answer, because it was stopped or hangs in a fork, is killed
and replaced: otherwise no isolated handler would run any more.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from logging import getLogger

from rota.handlers.processes.fork_server_main import REPORT, REQUEST

_STOP_SECONDS = 2.0
_KILL_SECONDS = 5.0
#: How long the server may take to answer, and before that to import the handlers.
ANSWER_SECONDS = 5.0
_IMPORT_SECONDS = 300.0
# A look that comes later than this was held up itself; so was, perhaps, what it looks for.
_HELD_UP_SECONDS = 0.1
_SECOND_LOOK_SECONDS = 1.0
# What the service knows of databases and keys is not for handlers.
_WITHHELD = ("ROTA_", "PG")
# The server imports from where this process does, whatever its start put on the path.
_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from rota.handlers.processes.fork_server_main import main; main()"
)

_FORK, _KILL, _READY = b"F", b"K", b"R"
# Which request a report answers, where that is not named alike; and the reports that a child is no more.
_REQUEST_OF = {b"S": _FORK, b"E": _FORK}
_ENDS = {b"X", b"E"}

_log = getLogger(__name__)


class ServerLost(Exception):
    """The process server died, and with it every child; or it does not answer. `alone`: it had only this one."""

    def __init__(self, *, alone: bool = False) -> None:
        super().__init__()
        self.alone = alone


class ForkServer:
    """Forks children and tells how they ended. Used from one event loop only."""

    def __init__(self, entries: Sequence[str], loop: asyncio.AbstractEventLoop) -> None:
        self._entries = entries
        self._loop = loop
        self._is_ready = False
        # When each request was sent that has no answer yet; until the handlers are imported none is answered.
        self._unanswered: dict[tuple[bytes, int], float] = {}
        self._look: asyncio.TimerHandle | None = None
        self._count = 0
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server process, unless it runs."""
        if self._connection is not None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and arguments
                [sys.executable, "-c", _BOOTSTRAP, *self._arguments(theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=handlers_environment(os.environ),
                start_new_session=True,  # Ctrl-C in the terminal is the service's to handle
            )
        ours.setblocking(False)
        self._connection = ours
        self._loop.add_reader(ours.fileno(), self._read)
        self._is_ready = False
        self._expect(_READY, 0)

    @property
    def is_silent(self) -> bool:
        """Whether it has owed an answer for half as long as it may; safe from any thread."""
        oldest = min(tuple(self._unanswered.values()), default=self._loop.time())
        return self._is_ready and self._loop.time() - oldest > ANSWER_SECONDS / 2

    def fork(self, descriptors: Sequence[int]) -> tuple[int, asyncio.Future[int]]:
        """Ask for a child with a connection, stdout and stderr; return its number and its end.

        The end is a wait status, or ServerLost, or an OSError if the child could not be made.
        """
        self.start()
        self._count += 1
        end: asyncio.Future[int] = self._loop.create_future()
        self._ends[self._count] = end
        self._expect(_FORK, self._count)
        self._send(REQUEST.pack(_FORK, self._count), descriptors)
        return self._count, end

    def kill(self, number: int) -> None:
        """Kill a child and its group; nothing happens if it has ended."""
        if number in self._ends:
            self._expect(_KILL, number)
            self._send(REQUEST.pack(_KILL, number), ())
            self._loop.call_later(_KILL_SECONDS, self._give_up, number)

    def stop(self) -> None:
        """End the server, which kills every child."""
        self._lose()

    def _arguments(self, connection: socket.socket) -> list[str]:
        return [str(connection.fileno()), json.dumps(list(self._entries)), json.dumps(sys.path)]

    def _expect(self, request: bytes, number: int) -> None:
        self._unanswered[request, number] = self._loop.time()
        if self._look is None:
            self._look_after(ANSWER_SECONDS)

    def _look_after(self, seconds: float) -> None:
        if self._look is not None:
            self._look.cancel()
        due = self._loop.time() + seconds
        self._look = self._loop.call_at(due, self._look_for_answers, due)

    def _look_for_answers(self, due: float) -> None:
        self._look = None
        if not self._unanswered:
            return
        now = self._loop.time()
        limit = ANSWER_SECONDS if self._is_ready else _IMPORT_SECONDS
        left = min(self._unanswered.values()) + limit - now
        if left > 0:
            self._look_after(left)
        elif now - due > _HELD_UP_SECONDS:
            self._look_after(_SECOND_LOOK_SECONDS)
        elif self._process is not None:
            _log.warning("the process server does not answer; another takes its place")
            self._process.kill()
            self._lose()

    def _send(self, request: bytes, descriptors: Sequence[int]) -> None:
        if self._connection is None:
            return
        try:
            socket.send_fds(self._connection, [request], descriptors)
        except OSError as error:  # it died, or has not read for thousands of requests
            _log.warning("the process server does not answer: %s", error)
            self._lose()

    def _read(self) -> None:
        """Take all reports that are there: what is answered is not to be taken for overdue."""
        while self._connection is not None:
            try:
                data = self._connection.recv(REPORT.size)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            if len(data) == REPORT.size:
                self._take(*REPORT.unpack(data))
            else:
                _log.warning("the process server ended; it is started again when it is needed")
                self._lose()

    def _take(self, what: bytes, number: int, detail: int) -> None:
        if what == _READY:
            self._is_ready = True
            # What was asked meanwhile is answered from now on.
            self._unanswered = dict.fromkeys(self._unanswered, self._loop.time())
            self._look_after(ANSWER_SECONDS)
        self._unanswered.pop((_REQUEST_OF.get(what, what), number), None)
        if what not in _ENDS:
            return
        end = self._ends.pop(number, None)
        if end is None or end.done():
            return
        if what == b"X":
            end.set_result(detail)
        else:
            end.set_exception(OSError(detail, os.strerror(detail)))

    def _give_up(self, number: int) -> None:
        """Take a child as lost that does not die, or whose server does not answer."""
        end = self._ends.pop(number, None)
        if end is not None and not end.done():
            _set_lost(end)

    def _lose(self) -> None:
        if self._connection is None or self._process is None:
            return
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        self._connection = None
        self._unanswered.clear()
        if self._look is not None:
            self._look.cancel()
            self._look = None
        _end_process(self._process)
        ends, self._ends = self._ends, {}
        for end in ends.values():
            if not end.done():
                _set_lost(end, alone=len(ends) == 1)


def handlers_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of isolated handlers: the service's, without its settings and those of PostgreSQL."""
    return {name: text for name, text in variables.items() if not name.startswith(_WITHHELD)}


def _set_lost(end: asyncio.Future[int], *, alone: bool = False) -> None:
    end.set_exception(ServerLost(alone=alone))
    end.exception()  # seen, also if nobody waits any more


def _end_process(process: subprocess.Popen[bytes]) -> None:
    # A closed connection ends it within milliseconds, with all children.
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
        return
    process.kill()
    process.wait()
