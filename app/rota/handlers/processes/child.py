"""The child process: one attempt of a handler with `isolation="process"`."""

import asyncio
import faulthandler
import inspect
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from socket import socket
from threading import Lock, RLock, Thread
from typing import Any, Never

from rota.domain.kv.entries import KvSnapshot
from rota.domain.kv.run_writes import KvWrites, OtherTable
from rota.domain.primitives.json.json_text import printable
from rota.domain.runs.outcomes import Cancelled, CheckpointResult, Failed, Postponed, TimedOut
from rota.handlers.calls.capture import JournalHandler
from rota.handlers.kv_migration import migrate_kv, migrate_kv_sync
from rota.handlers.outcomes import HandlerOutcome, arguments, raised, returned
from rota.handlers.processes import protocol
from rota.handlers.registry import RegisteredHandler, Registry
from rota.sdk.attempt_draft import AttemptDraft
from rota.sdk.contexts import Context, SyncContext
from rota.sdk.kv import InThread, Kv
from rota.sdk.stop import Hook, Hooks, Stop, StopReason, await_hooks, call_hooks
from rota.sdk.sync import SyncKv

# The service limits the lines of an attempt as a whole; this only keeps a message small.
_MOST_LINE = 65_536


class Channel:
    """The child's end of the connection, and the journal of its attempt."""

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self._incoming = connection.makefile("rb")
        self._lock = RLock()

    def send(self, message: protocol.Message) -> None:
        data = protocol.pack(message)
        with self._lock:
            self._connection.sendall(data)

    def receive(self) -> protocol.Message | None:
        """Wait for a message; None when the service has closed the connection."""
        line = self._incoming.readline()
        return protocol.unpack(line) if line else None

    def line(self, level: str, message: str) -> None:
        self.send({"line": [level, printable(message, _MOST_LINE)]})

    def progress(self, fraction: float | None, message: str | None) -> None:
        text = None if message is None else printable(str(message), _MOST_LINE)
        self.send({"progress": [None if fraction is None else float(fraction), text]})


def serve(connection: socket, registry: Registry) -> Never:
    """Execute the call that the connection brings, send its outcome, end the process."""
    channel = Channel(connection)
    first = channel.receive()
    if first is None:
        os._exit(0)
    # After a crash in C the attempt's log has a Python traceback.
    faulthandler.enable(all_threads=False)
    logging.getLogger().addHandler(JournalHandler(channel))
    _Attempt(channel, registry, protocol.CALL.read(first)).execute()


class _ReportedStop(Stop):
    """A stop that reports to the service whether there are hooks: the service waits for them before it kills."""

    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def add(self, hook: Hook) -> bool:
        reported = self.pending
        added = super().add(hook)
        if added and not reported:
            self._channel.send({"hooks": "added"})
        return added

    def hooks_called(self) -> None:
        if self.pending:
            self._channel.send({"hooks": "called"})
        super().hooks_called()


class _Attempt:
    def __init__(self, channel: Channel, registry: Registry, call: protocol.ChildCall) -> None:
        self._channel = channel
        self._registry = registry
        self._child_call = call
        self._stop = _ReportedStop(channel)
        #: Calls the stop hooks, and interrupts the handler if that is possible.
        self._interrupt: Callable[[Hooks], Any] = self._call_hooks
        self._draft = AttemptDraft(call.limits.value_bytes, call.kv_revision)
        self._answers: SimpleQueue[protocol.Message] = SimpleQueue()
        #: One request at a time, so that each gets its own answer.
        self._requesting = Lock()

    def execute(self) -> Never:
        Thread(target=self._listen, name="rota-listener", daemon=True).start()
        try:
            handler = self._registry.lookup(self._child_call.handler)
            if inspect.iscoroutinefunction(handler.function):
                asyncio.run(self._await(handler))
            value = self._call(handler)
        except BaseException as error:  # noqa: BLE001  # whatever a handler raises is an outcome
            self._end(self._raised(error))
        self._end(self._returned(value))

    def _call(self, handler: RegisteredHandler) -> Any:
        kv = SyncKv(self._draft, self, self._child_call.info.task)
        context = SyncContext(self._child_call.info, self._channel, self._stop, self._draft, kv)
        migrate_kv_sync(handler, kv, self._draft)
        return handler.function(context, *arguments(handler, self._child_call.info.input_json))

    async def _await(self, handler: RegisteredHandler) -> Never:
        """Await the handler, and end the process here: closing the loop would wait for threads that may be stuck."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        in_thread: InThread = partial(loop.run_in_executor, None)
        kv = Kv(self._draft, self, self._child_call.info.task, in_thread)
        context = Context(self._child_call.info, self._channel, self._stop, self._draft, kv)
        stops: list[asyncio.Task[None]] = []

        def interrupt(hooks: Hooks) -> None:
            stops.append(loop.create_task(self._await_hooks(hooks, task)))

        try:
            self._interrupt = lambda hooks: loop.call_soon_threadsafe(interrupt, hooks)
            if self._stop.requested:
                self._end(Cancelled())
            given = arguments(handler, self._child_call.info.input_json)
            await migrate_kv(handler, kv, self._draft)
            value = await handler.function(context, *given)
        except BaseException as error:  # noqa: BLE001  # whatever a handler raises is an outcome
            self._end(self._raised(error))
        self._end(self._returned(value))

    def _returned(self, value: Any) -> HandlerOutcome:
        try:
            return returned(value, self._draft, self._child_call.limits.result_bytes)
        except BaseException as error:  # noqa: BLE001  # code of the result may run
            return self._raised(error)

    def _raised(self, error: BaseException) -> HandlerOutcome:
        outcome = raised(error, self._draft, cancelled=self._stop.requested)
        # Only built-in handlers postpone, or find out themselves that their time is up, and those do not run here.
        return Failed(outcome.error) if isinstance(outcome, Postponed | TimedOut) else outcome

    def load_kv(self) -> KvSnapshot:
        """Read the table of the run's own task."""
        return protocol.SNAPSHOT.read(self._request({"load_kv": True}))

    def open_kv(self, task: str) -> OtherTable:
        """Read the table of another task; raises NotFound."""
        return protocol.TABLE.read(self._request({"open_kv": task}))

    def commit_kv(self, writes: KvWrites) -> CheckpointResult:
        """Commit a checkpoint; raises LeaseLost, and Unavailable if it is unknown whether it was committed."""
        return protocol.CHECKPOINT.read(self._request(protocol.COMMIT.write(writes)))

    def _request(self, request: protocol.Message) -> protocol.Message:
        with self._requesting:
            self._channel.send(request)
            answer = self._answers.get()
        if "kv_error" in answer:
            raise protocol.read_kv_error(answer)
        return answer

    def _listen(self) -> None:
        while (message := self._channel.receive()) is not None:
            if "stop" in message:
                self._stop.request(StopReason(message["stop"]))
                self._interrupt(self._stop.take_hooks())
            else:
                self._answers.put(message)

    def _call_hooks(self, hooks: Hooks) -> None:
        # In another thread: a hook that reads the kv needs the listener.
        if hooks:
            call = partial(call_hooks, self._stop, hooks, self._report)
            Thread(target=call, name="rota-stop-hooks", daemon=True).start()

    async def _await_hooks(self, hooks: Hooks, task: asyncio.Task[Any]) -> None:
        await await_hooks(self._stop, hooks, self._report)
        task.cancel()

    def _report(self, fault: str) -> None:
        self._channel.line("error", fault)

    def _end(self, outcome: HandlerOutcome) -> Never:
        for stream in (sys.stdout, sys.stderr):
            # The handler may have closed or replaced it.
            with suppress(Exception):
                stream.flush()
        self._channel.send(protocol.OUTCOME.write(outcome))
        # Without waiting for threads of the handler or for exit handlers.
        os._exit(0)
