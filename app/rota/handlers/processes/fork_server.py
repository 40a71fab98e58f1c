"""The client of the fork server (`fork_server_main.py`), which starts it when it is needed, and again after its end.

The server answers each request at once. One that does not, because it was stopped or hangs in a fork, is killed and
replaced: otherwise no isolated handler would run any more.
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
#: How long the server may take to answer, and, before it is ready, to import the handlers.
ANSWER_SECONDS = 5.0
_IMPORT_SECONDS = 300.0
# If a check for answers is delayed by more than this, the reading of answers may be delayed as well: it is repeated.
_MOST_DELAY_SECONDS = 0.1
_SECOND_CHECK_SECONDS = 1.0
# Handlers do not get the credentials and keys of the service.
_WITHHELD = ("ROTA_", "PG")
# The server has the import path of this process.
_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from rota.handlers.processes.fork_server_main import main; main()"
)

_FORK, _KILL, _READY = b"F", b"K", b"R"
# The request that a report answers, if it has another letter; and the reports of the end of a child.
_REQUEST_OF = {b"S": _FORK, b"E": _FORK}
_ENDS = {b"X", b"E"}

_log = getLogger(__name__)


class ServerLost(Exception):
    """The fork server died, and with it every child; or it does not answer. `alone`: it had only this child."""

    def __init__(self, *, alone: bool = False) -> None:
        super().__init__()
        self.alone = alone


class ForkServer:
    """Has children forked, and reports how they ended. Used from one event loop only."""

    def __init__(self, entries: Sequence[str], loop: asyncio.AbstractEventLoop) -> None:
        self._entries = entries
        self._loop = loop
        self._is_ready = False
        # When each unanswered request was sent; the server answers none until it has imported the handlers.
        self._unanswered: dict[tuple[bytes, int], float] = {}
        self._check: asyncio.TimerHandle | None = None
        self._count = 0
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server process, unless it runs already."""
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
        """Whether an answer has been missing for half of the time allowed; safe from any thread."""
        oldest = min(tuple(self._unanswered.values()), default=self._loop.time())
        return self._is_ready and self._loop.time() - oldest > ANSWER_SECONDS / 2

    def fork(self, descriptors: Sequence[int]) -> tuple[int, asyncio.Future[int]]:
        """Request a child with these descriptors: connection, stdout, stderr; return its number and its end.

        The end is a wait status, or raises ServerLost, or OSError if the child could not be started.
        """
        self.start()
        self._count += 1
        end: asyncio.Future[int] = self._loop.create_future()
        self._ends[self._count] = end
        self._expect(_FORK, self._count)
        self._send(REQUEST.pack(_FORK, self._count), descriptors)
        return self._count, end

    def kill(self, number: int) -> None:
        """Kill a child and its process group; ignored if it has ended."""
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
        if self._check is None:
            self._check_after(ANSWER_SECONDS)

    def _check_after(self, seconds: float) -> None:
        if self._check is not None:
            self._check.cancel()
        due = self._loop.time() + seconds
        self._check = self._loop.call_at(due, self._check_answers, due)

    def _check_answers(self, due: float) -> None:
        self._check = None
        if not self._unanswered:
            return
        now = self._loop.time()
        limit = ANSWER_SECONDS if self._is_ready else _IMPORT_SECONDS
        left = min(self._unanswered.values()) + limit - now
        if left > 0:
            self._check_after(left)
        elif now - due > _MOST_DELAY_SECONDS:
            self._check_after(_SECOND_CHECK_SECONDS)
        elif self._process is not None:
            _log.warning("the fork server does not answer; it is replaced")
            self._process.kill()
            self._lose()

    def _send(self, request: bytes, descriptors: Sequence[int]) -> None:
        if self._connection is None:
            return
        try:
            socket.send_fds(self._connection, [request], descriptors)
        except OSError as error:  # it died, or has not read for thousands of requests
            _log.warning("the fork server does not answer: %s", error)
            self._lose()

    def _read(self) -> None:
        """Read all reports that have arrived, so that no answered request counts as overdue."""
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
                _log.warning("the fork server ended; it is started again when it is needed")
                self._lose()

    def _take(self, what: bytes, number: int, detail: int) -> None:
        if what == _READY:
            self._is_ready = True
            # The server answers earlier requests from now on.
            self._unanswered = dict.fromkeys(self._unanswered, self._loop.time())
            self._check_after(ANSWER_SECONDS)
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
        """Count a child as lost that does not die, or whose server does not answer."""
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
        if self._check is not None:
            self._check.cancel()
            self._check = None
        _end_process(self._process)
        ends, self._ends = self._ends, {}
        for end in ends.values():
            if not end.done():
                _set_lost(end, alone=len(ends) == 1)


def handlers_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of isolated handlers: that of the service, without the settings of Rota and PostgreSQL."""
    return {name: text for name, text in variables.items() if not name.startswith(_WITHHELD)}


def _set_lost(end: asyncio.Future[int], *, alone: bool = False) -> None:
    end.set_exception(ServerLost(alone=alone))
    end.exception()  # mark it as retrieved, in case it is not awaited any more


def _end_process(process: subprocess.Popen[bytes]) -> None:
    # The closed connection ends it within milliseconds, with all children.
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
        return
    process.kill()
    process.wait()
