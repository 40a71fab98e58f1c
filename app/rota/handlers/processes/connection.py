"""The service's end of the connection to a child process: log lines, progress and kv until the outcome."""

import asyncio
import codecs
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import IO, Any

from rota.daemon_threads import DaemonThreads, in_thread_if_large
from rota.domain.runs.errors import RunError
from rota.domain.runs.outcomes import Blame, Cancelled, Failed, Lost, Outcome
from rota.handlers.calls.call import Call, Limits
from rota.handlers.calls.journal import AttemptJournal
from rota.handlers.processes import protocol
from rota.handlers.processes.fork_server import ForkServer, ServerLost
from rota.handlers.processes.validation import Validator
from rota.sdk.stop import HOOK_SECONDS, Stop

# How long a child may take to end after its outcome, and its output to arrive after its end.
_GRACE_SECONDS = 1.0
# JSON text in a JSON string can have six times its bytes.
_ESCAPED = 6
_SLACK = 8 * 1_048_576  # with room for registrations


class ChildConnection:
    """The connection to one child, from its start to its end."""

    def __init__(
        self,
        call: Call,
        stop: Stop,
        server: ForkServer,
        threads: DaemonThreads,
        limits: Limits,
    ) -> None:
        self._call = call
        self._stop = stop
        self._server = server
        self._threads = threads
        self._limits = limits
        self._validator = Validator(limits)
        # The outcome has the result and all kv writes since the last checkpoint.
        written = max(limits.value_bytes, limits.kv_bytes)
        self._longest = _SLACK + _ESCAPED * (limits.result_bytes + written)
        self._number = 0
        self._killed = False
        self._stop_requested = False
        self._reading = False
        self._writer: asyncio.StreamWriter | None = None
        self._outcome: Outcome | None = None

    async def run(self) -> Outcome:
        """Start the child, serve its requests, and return the outcome when it has ended."""
        connection, child_end = socket.socketpair()
        with ExitStack() as stack:
            stack.enter_context(child_end)
            printed = [self._pipe(stack, level) for level in ("stdout", "stderr")]
            descriptors = [child_end.fileno(), *(writable.fileno() for _, writable, _ in printed)]
            self._number, end = self._server.fork(descriptors)
        outputs = [await self._connect(readable, lines) for readable, _, lines in printed]
        try:
            status = await self._listen(connection, end)
            await _wait_briefly(asyncio.gather(*(lines.ended for _, _, lines in printed)))
        finally:
            for output in outputs:
                output.close()
        return self._outcome or self._without_outcome(status)

    def request_stop(self) -> None:
        """Have the child set `cancelled` in its context and call its stop hooks."""
        if not self._stop_requested:
            self._stop_requested = True
            self._send({"stop": self._stop.reason})

    def kill(self) -> None:
        """Kill the child and its process group: at once, or when its stop hooks have been called."""
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
        call = self._call
        child_call = protocol.ChildCall(
            call.handler.name, call.info(), call.run.kv_revision, self._limits
        )
        self._send(protocol.CALL.write(child_call))
        if self._stop_requested:
            self._send({"stop": self._stop.reason})
        receiving = asyncio.create_task(self._receive(reader))
        try:
            either: set[asyncio.Future[Any]] = {receiving, end}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return await self._wait_for_end(receiving, end)
        finally:
            receiving.cancel()
            self._writer.close()

    async def _wait_for_end(self, receiving: asyncio.Task[None], end: asyncio.Future[int]) -> int:
        """Return the wait status of the child."""
        if self._outcome is not None:
            # Nothing that it does after its outcome counts.
            await _wait_briefly(end)
            self._server.kill(self._number)
        try:
            status = await end
        except ServerLost:
            if self._outcome is None and not self._killed:
                raise
            return 0
        # Its last messages may still be in the connection.
        await _wait_briefly(receiving)
        while self._reading and not receiving.done():  # the last one is large
            await _wait_briefly(receiving)
        return status

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        """Receive messages until the outcome or the end of the connection."""
        try:
            while self._outcome is None and (line := await reader.readline()):
                await self._read(line)
        except ConnectionError:
            return  # the child was killed while it wrote
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            message = f"the process sent an invalid message: {error}"[:2_000]
            self._outcome = Failed(RunError("process.protocol", message))

    async def _read(self, line: bytes) -> None:
        """Read a message, a large one in a thread: it may have all kv writes of a run."""
        self._reading = True
        message, content = await in_thread_if_large(
            len(line), partial(self._parse, line), self._threads
        )
        self._reading = False
        await self._handle(message, content)

    def _parse(self, line: bytes) -> tuple[protocol.Message, "_Content"]:
        """Return a message, and the function that answers it or the outcome in it; raises as `protocol` does."""
        message = protocol.unpack(line)
        if message.keys() & {"line", "progress", "hooks"}:
            return message, None
        if message.keys() & {"load_kv", "open_kv", "commit_kv"}:
            return message, self._answer_to(message)
        return message, self._validator.outcome(protocol.OUTCOME.read(message))

    def _answer_to(self, request: protocol.Message) -> Callable[[], protocol.Message]:
        """Return the function that answers a kv request; it may block, and raises the errors for the handler."""
        kv = self._call.kv
        if "load_kv" in request:
            return lambda: protocol.SNAPSHOT.write(kv.load_kv())
        if "open_kv" in request:
            return lambda: protocol.TABLE.write(kv.open_kv(str(request["open_kv"])))
        writes = self._validator.writes(protocol.COMMIT.read(request))
        return lambda: protocol.CHECKPOINT.write(kv.commit_kv(writes))

    async def _handle(self, message: protocol.Message, content: "_Content") -> None:
        journal = self._call.journal
        if "line" in message:
            journal.line(*self._validator.line(*message["line"]))
        elif "progress" in message:
            journal.progress(*message["progress"])
        elif "hooks" in message:
            self._on_hooks(called=message["hooks"] == "called")
        elif callable(content):
            await self._answer(content)
        else:
            self._outcome = content

    def _on_hooks(self, *, called: bool) -> None:
        if not called:
            self._stop.expect_hooks()
            return
        self._stop.hooks_called()
        if self._killed:
            self._server.kill(self._number)

    async def _answer(self, answer: Callable[[], protocol.Message]) -> None:
        loop = asyncio.get_running_loop()
        try:
            packed = await loop.run_in_executor(self._threads, lambda: protocol.pack(answer()))
        except Exception as error:  # noqa: BLE001  # raised in the handler, as in one in a thread
            packed = protocol.pack(protocol.write_kv_error(error))
        self._write(packed)

    def _send(self, message: protocol.Message) -> None:
        self._write(protocol.pack(message))

    def _write(self, packed: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(packed)

    def _without_outcome(self, status: int) -> Outcome:
        if self._killed:
            return Cancelled()
        if self._call.suspect and self._call.handler.kind != "process":
            return Lost(Blame.ALONE, _describe_end(status))
        return Failed(RunError("process.exited", _describe_end(status)))


class _Printed(asyncio.Protocol):
    """Writes the output of a child, from Python or from C, to the journal."""

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


_Content = Callable[[], protocol.Message] | Outcome | None


async def _wait_briefly(work: asyncio.Future[Any]) -> None:
    await asyncio.wait({work}, timeout=_GRACE_SECONDS)


def _describe_end(status: int) -> str:
    """Return how a process ended, from its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"the process ended with exit status {code} before its handler had returned"
    name = f"signal {-code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
    hint = " (perhaps out of memory)" if -code == signal.SIGKILL else ""
    return f"the process was killed by {name}{hint}"
