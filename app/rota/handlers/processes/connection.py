"""The service's end of the connection to one child: lines, progress and kv until the outcome."""

import asyncio
import codecs
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import IO, Any

from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Blame, Cancelled, Failed, Lost, Outcome
from rota.handlers.calls.call import Call
from rota.handlers.calls.journal import AttemptJournal
from rota.handlers.daemon_threads import DaemonThreads, aside
from rota.handlers.processes import protocol
from rota.handlers.processes.fork_server import ForkServer, ServerLost
from rota.handlers.processes.validation import Inspection
from rota.sdk.stop import HOOK_SECONDS, Stop

# For a child to be gone after its outcome, and for what it printed to arrive after its end.
_GRACE_SECONDS = 1.0
# Text can take six times its bytes as JSON in a JSON string.
_ESCAPED = 6
_SLACK = 8 * 1_048_576  # what a run registers among it


class Conversation:
    """One child, from its start to its end."""

    def __init__(
        self,
        call: Call,
        stop: Stop,
        server: ForkServer,
        threads: DaemonThreads,
        max_result_bytes: int,
        max_value_bytes: int,
        max_kv_bytes: int,
    ) -> None:
        self._call = call
        self._stop = stop
        self._server = server
        self._threads = threads
        self._limits = (max_result_bytes, max_value_bytes)
        self._inspection = Inspection(max_result_bytes, max_value_bytes)
        # The outcome has the result and all that was written to tables since the last check-point.
        written = max(max_value_bytes, max_kv_bytes)
        self._longest = _SLACK + _ESCAPED * (max_result_bytes + written)
        self._number = 0
        self._killed = False
        self._asked = False
        self._reading = False
        self._writer: asyncio.StreamWriter | None = None
        self._outcome: Outcome | None = None

    async def hold(self) -> Outcome:
        """Start the child, listen to it, and return the outcome when it is gone."""
        connection, child_end = socket.socketpair()
        with ExitStack() as stack:
            stack.enter_context(child_end)
            printed = [self._pipe(stack, level) for level in ("stdout", "stderr")]
            descriptors = [child_end.fileno(), *(writable.fileno() for _, writable, _ in printed)]
            self._number, end = self._server.fork(descriptors)
        outputs = [await self._connect(readable, lines) for readable, _, lines in printed]
        try:
            status = await self._listen(connection, end)
            await _for_a_moment(asyncio.gather(*(lines.ended for _, _, lines in printed)))
        finally:
            for output in outputs:
                output.close()
        return self._outcome or self._without_outcome(status)

    def ask_to_end(self) -> None:
        """Set the `cancelled` of the child's context, and have its stop hooks called."""
        if not self._asked:
            self._asked = True
            self._send({"stop": self._stop.reason})

    def kill(self) -> None:
        """End the child and its group: at once, or when its stop hooks have been called."""
        self._killed = True
        if self._stop.pending:
            asyncio.get_running_loop().call_later(HOOK_SECONDS, self._server.kill, self._number)
        else:
            self._server.kill(self._number)

    def _pipe(self, stack: ExitStack, level: str) -> tuple[IO[bytes], IO[bytes], "_Printed"]:
        readable, writable = os.pipe()
        held = stack.enter_context(os.fdopen(writable, "wb", 0))
        return os.fdopen(readable, "rb", 0), held, _Printed(self._call.journal, level)

    async def _connect(self, readable: IO[bytes], lines: "_Printed") -> asyncio.ReadTransport:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: lines, readable)
        return transport

    async def _listen(self, connection: socket.socket, end: asyncio.Future[int]) -> int:
        reader, self._writer = await asyncio.open_unix_connection(
            sock=connection, limit=self._longest
        )
        self._send(protocol.order(self._call, *self._limits))
        if self._asked:
            self._send({"stop": self._stop.reason})
        talk = asyncio.create_task(self._talk(reader))
        try:
            either: set[asyncio.Future[Any]] = {talk, end}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return await self._see_end(talk, end)
        finally:
            talk.cancel()
            self._writer.close()

    async def _see_end(self, talk: asyncio.Task[None], end: asyncio.Future[int]) -> int:
        if self._outcome is not None:
            # It has said all that counts: what keeps it now is killed.
            await _for_a_moment(end)
            self._server.kill(self._number)
        try:
            status = await end
        except ServerLost:
            if self._outcome is None and not self._killed:
                raise
            return 0
        # Its last words may still be in the connection.
        await _for_a_moment(talk)
        while self._reading and not talk.done():  # they are here, and take their time
            await _for_a_moment(talk)
        return status

    async def _talk(self, reader: asyncio.StreamReader) -> None:
        """Take messages until the outcome or the end of the connection."""
        try:
            while self._outcome is None and (line := await reader.readline()):
                await self._read(line)
        except ConnectionError:
            return  # killed in the middle of a word
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            message = f"the process said what cannot be understood: {error}"[:2_000]
            self._outcome = Failed(RunError("process.protocol", message))

    async def _read(self, line: bytes) -> None:
        """Take a message. A long one is read in a thread: it may hold all that a run has written."""
        self._reading = True
        work = await aside(len(line), partial(self._understand, line), self._threads)
        self._reading = False
        await self._take(*work)

    def _understand(self, line: bytes) -> tuple[protocol.Message, "_Meant"]:
        """Return a message, with what answers it or the outcome that it tells; raises what `wire` raises."""
        message = protocol.unpack(line)
        if message.keys() & {"line", "progress", "hooks"}:
            return message, None
        if message.keys() & {"load_kv", "open_kv", "commit_kv"}:
            return message, _answer_to(self._call, message, self._inspection)
        return message, self._inspection.outcome(protocol.read_outcome(message))

    async def _take(self, message: protocol.Message, meant: "_Meant") -> None:
        journal = self._call.journal
        if "line" in message:
            journal.line(*self._inspection.line(*message["line"]))
        elif "progress" in message:
            journal.progress(*message["progress"])
        elif "hooks" in message:
            self._hear_of_hooks(called=message["hooks"] == "called")
        elif callable(meant):
            await self._answer(meant)
        else:
            self._outcome = meant

    def _hear_of_hooks(self, *, called: bool) -> None:
        if not called:
            self._stop.expect()
            return
        self._stop.ran()
        if self._killed:
            self._server.kill(self._number)

    async def _answer(self, answer: Callable[[], protocol.Message]) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, lambda: protocol.pack(answer()))
        except Exception as error:  # noqa: BLE001  # the handler gets it, as one in a thread would
            found = protocol.pack(protocol.kv_error(error))
        self._write(found)

    def _send(self, message: protocol.Message) -> None:
        self._write(protocol.pack(message))

    def _write(self, packed: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(packed)

    def _without_outcome(self, status: int) -> Outcome:
        if self._killed:
            return Cancelled()
        if self._call.suspect and self._call.handler.kind != "process":
            return Lost(Blame.ALONE, _how_it_ended(status))
        return Failed(RunError("process.exited", _how_it_ended(status)))


class _Printed(asyncio.Protocol):
    """Brings what a child prints, from Python or from C, to the journal."""

    def __init__(self, journal: AttemptJournal, level: str) -> None:
        self._journal = journal
        self._level = level
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._journal.write(self._level, self._decoder.decode(data))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as in the base class
        if not self.ended.done():
            self.ended.set_result(None)


_Meant = Callable[[], protocol.Message] | Outcome | None


def _answer_to(
    call: Call, question: protocol.Message, inspection: Inspection
) -> Callable[[], protocol.Message]:
    """Return what answers a question of the child; it may block, and raises what the handler is to get."""
    if "load_kv" in question:
        return lambda: protocol.snapshot(call.load_kv())
    if "open_kv" in question:
        return lambda: protocol.table(call.open_kv(str(question["open_kv"])))
    work = inspection.work(protocol.read_work(question["commit_kv"]))
    return lambda: protocol.check_pointed(call.commit_kv(work))


async def _for_a_moment(work: asyncio.Future[Any]) -> None:
    await asyncio.wait({work}, timeout=_GRACE_SECONDS)


def _how_it_ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"the process ended with exit status {code} before its handler had returned"
    name = f"signal {-code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
    hint = " (perhaps for want of memory)" if -code == signal.SIGKILL else ""
    return f"the process was killed by {name}{hint}"
